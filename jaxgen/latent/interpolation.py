"""Interpolation in latent space, and the images along the paths. Latents are float32."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.latent.inputs import Images
from jaxgen.latent.spaces import Codes, Space

Array = np.ndarray
InterpolationPath = Callable[[Array, Array, Array], Array]  # the ends and the shares, as `linear` takes them
DIMENSIONS = 32  # swept by default
PARALLEL = 1e-6  # sine of the angle below which the arc is the straight line


def linear(a: Array, b: Array, share: Array) -> Array:
    """The straight line from a to b, [*shape] each: [K, *shape] at the shares [K] of the way."""
    s = share.reshape(-1, *[1] * a.ndim)
    return ((1 - s) * a + s * b).astype(np.float32)


def spherical(a: Array, b: Array, share: Array) -> Array:
    """The arc from a to b, which keeps the length of normals; a straight line if they are parallel or one is zero.

    As `linear`. Source: Shoemake 1985, with the angle of White 2016 ("Sampling generative networks", section 2.1).
    """
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    cosine = float(np.vdot(a.astype(np.float64), b)) / lengths if lengths else 1.0
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < PARALLEL:
        return linear(a, b, share)
    s = share.reshape(-1, *[1] * a.ndim)
    return ((np.sin((1 - s) * angle) * a + np.sin(s * angle) * b) / np.sin(angle)).astype(np.float32)


PATHS: dict[str, InterpolationPath] = {"linear": linear, "spherical": spherical}


def walk(points: Array, frames: int, path: InterpolationPath) -> Array:
    """Paths from each of the points [P, *shape] to the next, both ends included: [P - 1, frames, *shape].

    Raises UsageError on fewer than 2 points or frames.
    """
    if len(points) < 2 or frames < 2:
        raise UsageError(f"a walk needs at least 2 points and 2 frames, got {len(points)} and {frames}")
    share = np.linspace(0, 1, frames)
    return np.stack([path(a, b, share) for a, b in itertools.pairwise(points)])


def sweep(start: Array, dimensions: Array, reach: float, frames: int) -> Array:
    """Copies of a code [D], each row with one dimension varied from -reach to reach: [len(dimensions), frames, D]."""
    codes = np.broadcast_to(start, (len(dimensions), frames, len(start))).astype(np.float32)
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = np.linspace(-reach, reach, frames)
    return codes


def plane(side: int) -> Array:
    """A grid of quantiles of the 2-D normal prior: [side * side, 2], rows from the top.

    Source: Kingma & Welling 2014, figure 4 (the inverse CDF of the normal at even steps of the unit square).
    """
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)], np.float32)
    across, up = np.meshgrid(quantiles, quantiles[::-1])
    return np.stack([across, up], axis=-1).reshape(-1, 2)


def between_seeds(
    space: Space, seeds: list[int], rows: int, frames: int, path: InterpolationPath, label: Array | None
) -> Array:
    """Paths from images 0 to rows - 1 of each seed to the next: uint8 [rows, len(seeds) - 1, frames, H, W, C].

    label: [rows], or [rows, len(seeds)] where each seed has a class, which then changes halfway; None for unconditional
    models.
    """
    points = np.stack([space.of_seed(seed, np.arange(rows)) for seed in seeds])  # [seeds, rows, *shape]
    ends = [None] * rows if label is None else np.broadcast_to(label.reshape(rows, -1), (rows, len(seeds)))
    walks = zip(points.swapaxes(0, 1), ends, strict=True)
    return np.stack([decode_walk(space, walk(row, frames, path), label) for row, label in walks])


def between_images(space: Space, images: Array, frames: int, path: InterpolationPath, label: Array | None) -> Array:
    """Paths from each image to the next: uint8 [1, N - 1, frames, H, W, C]; the class changes halfway.

    Raises UsageError on fewer than 2 images.
    """
    if len(images) < 2:
        raise UsageError(f"a walk needs two or more images, got {len(images)}")
    return decode_walk(space, walk(space.encode(images, label), frames, path), label)[None]


def laid_out(walks: Array, output: Path) -> Array:
    """[rows, segments, frames, H, W, C] for `write_rows`: one segment per line, in a GIF one after another."""
    rows, segments, frames, *shape = walks.shape
    if output.suffix.lower() == ".gif":
        return walks.reshape(rows, segments * frames, *shape)
    return walks.reshape(rows * segments, frames, *shape)


def start(codes: Codes, images: Images | None, seed: int | None, label: Array | None) -> Array:
    """[D]: the code of one image of class `label` [1], of a seed, or the middle of the prior."""
    if images is not None:
        return codes.encode(images.images, label)[0]
    if seed is not None:
        return codes.of_seed(seed, np.zeros(1, np.int64))[0]
    return np.zeros(codes.shape, np.float32)


def strongest(codes: Codes, start: Array, reach: float, label: Array | None) -> list[int]:
    """The DIMENSIONS along which the image changes most between both ends, the strongest first."""
    ends = traversal(codes, start, list(range(len(start))), reach, 2, label).astype(np.int16)
    change = np.abs(ends[:, 0] - ends[:, 1]).mean((1, 2, 3))
    return np.argsort(-change, kind="stable")[:DIMENSIONS].tolist()


def traversal(
    codes: Codes, start: Array, dimensions: list[int], reach: float, frames: int, label: Array | None
) -> Array:
    """One row per dimension: uint8 [len(dimensions), frames, H, W, C]; label: [1]."""
    return decode_walk(codes, sweep(start, np.array(dimensions), reach, frames), label)


def seed_numbers(text: str) -> list[int]:
    """'0,1,2' as numbers. Raises UsageError on fewer than two seeds, or other text."""
    seeds = _numbers(text, "--seeds", 2**32)
    if len(seeds) < 2:
        raise UsageError(f"--seeds takes two or more to walk between, got {text!r}")
    return seeds


def dimension_numbers(text: str, count: int) -> list[int]:
    """'0,3,5' as numbers of dimensions. Raises UsageError on numbers not below `count`, or other text."""
    return _numbers(text, "--dimensions", count)


def _numbers(text: str, option: str, end: int) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) <= 10 and int(word) < end for word in words):
        raise UsageError(f"{option} takes numbers from 0 to {end - 1} with commas between, got {text!r}")
    return [int(word) for word in words]


def decode_walk(space: Space, latents: Array, label: Array | None) -> Array:
    """Decode latents [segments, frames, *shape] to uint8 [segments, frames, H, W, C].

    label: of each end [segments + 1], or of all [1]; None for unconditional models.
    """
    segments, frames = latents.shape[:2]
    labels = None
    if label is not None:
        ends = np.broadcast_to(label, segments + 1) if len(label) == 1 else label
        labels = np.where(np.arange(frames) * 2 < frames, ends[:-1, None], ends[1:, None]).reshape(-1)
    images = space.decode(latents.reshape(-1, *space.shape), labels)
    return images.reshape(segments, frames, *images.shape[1:])
