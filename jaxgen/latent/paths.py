"""Ways through latent space: between points, along each dimension, over the plane. Latents are float32."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from jaxgen.errors import UsageError

Array = np.ndarray
Way = Callable[[Array, Array, Array], Array]  # the ends and the shares, as `linear` takes them
PARALLEL = 1e-6  # sine of the angle below which the arc is the straight line


def linear(a: Array, b: Array, share: Array) -> Array:
    """The straight line from a to b, [*shape] each: [K, *shape] at the shares [K] of the way."""
    s = share.reshape(-1, *[1] * a.ndim)
    return ((1 - s) * a + s * b).astype(np.float32)


def spherical(a: Array, b: Array, share: Array) -> Array:
    """The arc from a to b, on which normals keep their length; straight where the two are parallel, or one is zero.

    As `linear`. Source: Shoemake 1985, with the angle of White 2016 ("Sampling generative networks", section 2.1).
    """
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    cosine = float(np.vdot(a.astype(np.float64), b)) / lengths if lengths else 1.0
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < PARALLEL:
        return linear(a, b, share)
    s = share.reshape(-1, *[1] * a.ndim)
    return ((np.sin((1 - s) * angle) * a + np.sin(s * angle) * b) / np.sin(angle)).astype(np.float32)


PATHS: dict[str, Way] = {"linear": linear, "spherical": spherical}


def walk(points: Array, frames: int, path: Way) -> Array:
    """From each of the points [P, *shape] to the next, both ends included: [P - 1, frames, *shape].

    Raises UsageError on fewer than 2 points or frames.
    """
    if len(points) < 2 or frames < 2:
        raise UsageError(f"a walk needs at least 2 points and 2 frames, got {len(points)} and {frames}")
    share = np.linspace(0, 1, frames)
    return np.stack([path(a, b, share) for a, b in itertools.pairwise(points)])


def sweep(start: Array, dimensions: Array, reach: float, frames: int) -> Array:
    """One code [D], in each row with another dimension set to -reach ... reach: [len(dimensions), frames, D]."""
    codes = np.broadcast_to(start, (len(dimensions), frames, len(start))).astype(np.float32)
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = np.linspace(-reach, reach, frames)
    return codes


def plane(side: int) -> Array:
    """The plane as the prior fills it: [side * side, 2], rows from the top, equal shares of a normal between lines.

    Source: Kingma & Welling 2014, figure 4 (the inverse CDF of the normal at even steps of the unit square).
    """
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)], np.float32)
    across, up = np.meshgrid(quantiles, quantiles[::-1])
    return np.stack([across, up], axis=-1).reshape(-1, 2)
