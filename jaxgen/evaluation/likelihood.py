"""How likely images are under a VAE: bounds of log p(x) by importance sampling, with any encoder and decoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
LEAST = 2.0**-25  # a probability that float32 rounds to 0 or 1 is within this of it
ROWS = 1024  # latents that are decoded at a time
LOG_TWO_PI = math.log(2 * math.pi)


def bernoulli(pixels: Array, mean: Array, sigma: float) -> Array:
    """log p(x | z) in nats, summed over pixels: [..., P] twice, in [0, 1] -> [...]."""
    p = np.clip(mean, LEAST, 1 - LEAST)
    return (pixels * np.log(p) + (1 - pixels) * np.log1p(-p)).sum(-1)


def gaussian(pixels: Array, mean: Array, sigma: float) -> Array:
    """log p(x | z) in nats, a density of pixels in [0, 1] with deviation `sigma`; shapes as in `bernoulli`."""
    z = (pixels - mean) / sigma
    return -(0.5 * (z * z + LOG_TWO_PI) + math.log(sigma)).sum(-1)


LIKELIHOODS: dict[str, Callable[[Array, Array, float], Array]] = {"bernoulli": bernoulli, "gaussian": gaussian}


@dataclass(frozen=True, kw_only=True)
class Autoencoder:
    """encode: uint8 images [N, H, W, C] and their classes [N] -> mean and log-variance of q(z | x), [N, D] each.
    decode: latents [N, D] and classes -> means of pixels, [N, H, W, C] in [0, 1].
    Classes are None for unconditional models.

    likelihood: of LIKELIHOODS; sigma: of a Gaussian one; binarized: whether it models black and white pixels, of which
    a grey one is the chance to be white (Salakhutdinov & Murray 2008).
    """

    encode: Callable[[Array, Array | None], tuple[Array, Array]]
    decode: Callable[[Array, Array | None], Array]
    likelihood: str
    sigma: float = 1.0
    binarized: bool = False


@dataclass(frozen=True)
class Bounds:
    """Of each image, in nats: the evidence lower bound, and a bound of log p(x) that is tight for many samples."""

    elbo: Array  # [N]
    log_likelihood: Array  # [N]


def bounds(
    model: Autoencoder,
    images: Array,
    labels: Array | None,
    *,
    samples: int,
    seed: int = 0,
    tell: Callable[[int], None] = lambda done: None,
) -> Bounds:
    """The mean, and the log of the mean, of `samples` importance weights p(x, z) / q(z | x) of each image.

    images: uint8 [N, H, W, C]; tell: receives the number of images that are done.
    Source: Burda et al. 2016, equation 8.
    """
    rng = np.random.default_rng(seed)
    if model.binarized:
        images = np.where(rng.random(images.shape) < images / 255, 255, 0).astype(np.uint8)
    elbo, tight = [], []
    at_once = max(1, ROWS // samples)
    for start in range(0, len(images), at_once):
        part = slice(start, start + at_once)
        weights = _log_weights(model, images[part], None if labels is None else labels[part], samples, rng)
        elbo.append(weights.mean(0))
        tight.append(np.logaddexp.reduce(weights, axis=0) - math.log(samples))
        tell(min(start + at_once, len(images)))
    return Bounds(np.concatenate(elbo), np.concatenate(tight))


def _log_weights(
    model: Autoencoder, images: Array, labels: Array | None, samples: int, rng: np.random.Generator
) -> Array:
    """log p(x, z) - log q(z | x) for z drawn from q: [samples, N]; latents are decoded ROWS at a time."""
    mean, log_variance = (np.asarray(part, np.float64) for part in model.encode(images, labels))
    eps = rng.standard_normal((samples, *mean.shape))
    z = mean + np.exp(log_variance / 2) * eps  # [samples, N, D]
    # log p(z) - log q(z | x), whose constants are the same
    prior = 0.5 * (eps * eps + log_variance - z * z).sum(-1)
    flat = z.reshape(-1, z.shape[-1]).astype(np.float32)
    repeated = None if labels is None else np.tile(labels, samples)
    pixels = images.reshape(len(images), -1) / 255
    found = []
    for start in range(0, len(flat), ROWS):
        rows = np.arange(start, min(start + ROWS, len(flat)))
        decoded = model.decode(flat[rows], None if repeated is None else repeated[rows])
        likelihood = LIKELIHOODS[model.likelihood]
        found.append(likelihood(pixels[rows % len(images)], decoded.reshape(len(rows), -1).astype(float), model.sigma))
    return np.concatenate(found).reshape(samples, len(images)) + prior
