"""Sheets: many images on one, how many it holds, and what it says of untrained weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.images import MAX_PIXELS, captioned, grid

MAX_IMAGES = 4096
MAX_COLUMNS = 128  # where rows have a length of their own: of 28x28 images, 7,426 pixels


def capacity(shape: Sequence[int]) -> int:
    """The most images [H, W, C] that a sheet holds, so that jaxgen can read it again."""
    height, width, _ = grid(np.zeros((1, *shape), np.uint8)).shape  # of an image, magnified, with its frame
    return min(MAX_IMAGES, math.isqrt(MAX_PIXELS // (height * width)) ** 2)


def require_capacity(shape: Sequence[int], count: int, instead: str = "write to FOLDER/ or FILE.npy") -> None:
    """Raise UsageError for more images than a sheet holds; instead: what to do then."""
    if count > (most := capacity(shape)):
        raise UsageError(f"a sheet of this model holds at most {most} images, got {count}; {instead}")


def sheet(images: np.ndarray, *, untrained: bool = False) -> np.ndarray:
    """uint8 [N, H, W, C] on one image [H', W', C]; a single image is itself, not magnified."""
    return marked(images[0] if len(images) == 1 else grid(images), untrained=untrained)


def marked(image: np.ndarray, *, untrained: bool) -> np.ndarray:
    """The image [H, W, C], with a caption if untrained weights made it."""
    return captioned(image, "untrained weights") if untrained else image


def sheet_of_rows(rows: np.ndarray, titles: Sequence[str] | None = None) -> np.ndarray:
    """uint8 [R, K, H, W, C] as R rows of K images, each below its title: uint8 [H', W', C]."""
    if titles is None:
        return grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
    lines = [captioned(grid(row, columns=len(row)), title) for row, title in zip(rows, titles, strict=True)]
    width = max(line.shape[1] for line in lines)
    return np.concatenate(
        [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    )
