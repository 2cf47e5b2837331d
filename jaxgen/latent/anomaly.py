"""Anomaly scores: how unlike its training images a VAE finds an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen.images import side_by_side
from jaxgen.latent.spaces import Codes

Array = np.ndarray
LEAST = 0.5 / 255  # a decoded pixel of 0 is one that was rounded to it: at most half a step from it
PART = 1024  # images whose pixels are looked at in float64 at a time
RED = np.array([255.0, 0.0, 0.0])


def bernoulli(pixels: Array, again: Array, sigma: float) -> Array:
    """-log p(x | z) in nats, summed over pixels: the cross entropy; pixels, again: [N, H, W, C] in [0, 1] -> [N]."""
    p = np.clip(again, LEAST, 1 - LEAST)
    return -(pixels * np.log(p) + (1 - pixels) * np.log1p(-p)).sum((1, 2, 3))


def gaussian(pixels: Array, again: Array, sigma: float) -> Array:
    """-log p(x | z) in nats around the decoded image with deviation `sigma`: as `bernoulli`."""
    z = (pixels - again) / sigma
    return (0.5 * (z * z + math.log(2 * math.pi)) + math.log(sigma)).sum((1, 2, 3))


LIKELIHOODS: dict[str, Callable[[Array, Array, float], Array]] = {"bernoulli": bernoulli, "gaussian": gaussian}


def kl_divergence(mean: Array, log_variance: Array) -> Array:
    """KL of q(z | x) from the standard normal in nats: [N, D] twice -> [N] (Kingma & Welling 2014, appendix B)."""
    mean, log_variance = mean.astype(np.float64), log_variance.astype(np.float64)
    return 0.5 * (mean * mean + np.exp(log_variance) - 1 - log_variance).sum(1)


@dataclass(frozen=True)
class Scores:
    """In nats, [N] each, `reconstruction` and `kl`: the ELBO's terms at the mean of q(z | x), not in expectation over
    q: so no bound on -log p(x), but the same each time."""

    latent: Array  # [N, D]: the mean of q(z | x)
    again: Array  # uint8 [N, H, W, C]: what it is decoded to
    reconstruction: Array
    kl: Array

    @property
    def total(self) -> Array:
        return self.reconstruction + self.kl


def score(codes: Codes, images: Array, label: Array | None) -> Scores:
    """How unlikely a VAE finds each image: the cost of its reconstruction from the mean, plus that of the mean."""
    file, said = codes.reader.artifact.path, codes.reader.inference.likelihood
    likelihood = LIKELIHOODS.get(said.kind) if said else None
    if said is None or likelihood is None:
        got = f"has the likelihood {said.kind[:60]!a}" if said else "has none"
        raise JaxgenError(f"{file}: a score needs a likelihood that is one of {', '.join(LIKELIHOODS)}; this {got}")
    mean, log_variance = codes.posterior(images)
    again = codes.decode(mean, label)
    parts = [slice(start, start + PART) for start in range(0, len(images), PART)]
    cost = [likelihood(images[part] / 255, again[part] / 255, said.sigma) for part in parts]
    return Scores(mean, again, np.concatenate(cost), kl_divergence(mean, log_variance))


def heat(images: Array, again: Array) -> Array:
    """Where images differ from their reconstructions, red over grey: uint8 [N, H, W, C] twice -> [N, H, W, 3]."""
    error = np.abs(images.astype(np.float64) - again).mean(-1, keepdims=True) / 255
    grey = images.mean(-1, keepdims=True)
    return np.rint((1 - error) * grey + error * RED).astype(np.uint8)


def three_rows(images: Array, again: Array, columns: int) -> Array:
    """Images, what they are taken for, and `heat`, in lines of `columns`: uint8 [R, columns, H, W, 3]."""
    colour = [np.broadcast_to(grey, (*grey.shape[:3], 3)) for grey in (images, again)]
    return side_by_side(columns, *colour, heat(images, again))
