"""Anomaly scores: how much an image differs from a VAE's training images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen.images import side_by_side
from jaxgen.latent.spaces import Codes

Array = np.ndarray
LEAST = 0.5 / 255  # a decoded pixel of 0 was rounded, by at most half a step
PART = 1024  # images scored in float64 at a time
RED = np.array([255.0, 0.0, 0.0])


def bernoulli(pixels: Array, decoded: Array, sigma: float) -> Array:
    """-log p(x | z) in nats, summed over pixels: the cross entropy; pixels, decoded: [N, H, W, C] in [0, 1] -> [N]."""
    p = np.clip(decoded, LEAST, 1 - LEAST)
    return -(pixels * np.log(p) + (1 - pixels) * np.log1p(-p)).sum((1, 2, 3))


def gaussian(pixels: Array, decoded: Array, sigma: float) -> Array:
    """-log p(x | z) in nats, normal around the decoded image with deviation `sigma`; shapes as in `bernoulli`."""
    z = (pixels - decoded) / sigma
    return (0.5 * (z * z + math.log(2 * math.pi)) + math.log(sigma)).sum((1, 2, 3))


LIKELIHOODS: dict[str, Callable[[Array, Array, float], Array]] = {"bernoulli": bernoulli, "gaussian": gaussian}


def kl_divergence(mean: Array, log_variance: Array) -> Array:
    """KL of q(z | x) from the standard normal in nats: [N, D] twice -> [N] (Kingma & Welling 2014, appendix B)."""
    mean, log_variance = mean.astype(np.float64), log_variance.astype(np.float64)
    return 0.5 * (mean * mean + np.exp(log_variance) - 1 - log_variance).sum(1)


@dataclass(frozen=True)
class Scores:
    """`reconstruction` and `kl`, [N] each, are the ELBO's terms in nats at the mean of q(z | x), not in expectation.
    They are deterministic, but do not bound -log p(x)."""

    latent: Array  # [N, D]: the mean of q(z | x)
    decoded: Array  # uint8 [N, H, W, C]: the decoded latents
    reconstruction: Array
    kl: Array

    @property
    def total(self) -> Array:
        return self.reconstruction + self.kl


def score(codes: Codes, images: Array, label: Array | None) -> Scores:
    """The anomaly scores of images: the reconstruction error of the mean code, and its KL divergence.

    label: [N], None for unconditional models.
    """
    file, spec = codes.reader.artifact.path, codes.reader.inference.likelihood
    likelihood = LIKELIHOODS.get(spec.kind) if spec else None
    if spec is None or likelihood is None:
        got = f"has the likelihood {spec.kind[:60]!a}" if spec else "has none"
        raise JaxgenError(f"{file}: a score needs a likelihood that is one of {', '.join(LIKELIHOODS)}; this {got}")
    mean, log_variance = codes.posterior(images, label)
    decoded = codes.decode(mean, label)
    parts = [slice(start, start + PART) for start in range(0, len(images), PART)]
    cost = [likelihood(images[part] / 255, decoded[part] / 255, spec.sigma) for part in parts]
    return Scores(mean, decoded, np.concatenate(cost), kl_divergence(mean, log_variance))


def heat(images: Array, decoded: Array) -> Array:
    """The differences of images from their reconstructions, red over grey: uint8 [N, H, W, C] twice -> [N, H, W, 3]."""
    error = np.abs(images.astype(np.float64) - decoded).mean(-1, keepdims=True) / 255
    grey = images.mean(-1, keepdims=True)
    return np.rint((1 - error) * grey + error * RED).astype(np.uint8)


def three_rows(images: Array, decoded: Array, columns: int) -> Array:
    """Images, their reconstructions and `heat`, in lines of `columns`: uint8 [R, columns, H, W, 3]."""
    colour = [np.broadcast_to(grey, (*grey.shape[:3], 3)) for grey in (images, decoded)]
    return side_by_side(columns, *colour, heat(images, decoded))
