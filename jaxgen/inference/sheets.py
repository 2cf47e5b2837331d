"""Sheets: many images on one, how they are laid out, how many it holds, and what it says of untrained weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.images import MAX_PIXELS, captioned, grid

MAX_IMAGES = 4096
MAX_COLUMNS = 128  # where rows have a length of their own: of 28x28 images, 7,426 pixels
MAX_SCALE = 256
SINGLE = 256  # pixels that the longer side of a single image has at least, to be seen on a screen


class Layout(NamedTuple):
    """columns: images in a row; scale: pixels a side that each pixel becomes. None: as `grid` does by itself, and a
    single image is not magnified."""

    columns: int | None = None
    scale: int | None = None

    def record(self) -> dict[str, int]:
        """What of it a PNG says: nothing of what is None."""
        return {name: value for name, value in self._asdict().items() if value is not None}


AS_IT_IS = Layout()


def require_layout(layout: Layout) -> None:
    """Raise UsageError for columns or a scale that no sheet has."""
    for name, most in (("columns", MAX_IMAGES), ("scale", MAX_SCALE)):
        value = getattr(layout, name)
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name} must be from 1 to {most}, got {value}")


def visible(shape: Sequence[int]) -> int:
    """The scale at which a single image [H, W, C] is seen on a screen."""
    return math.ceil(SINGLE / max(shape[:2]))


def capacity(shape: Sequence[int]) -> int:
    """The most images [H, W, C] that a sheet holds, so that jaxgen can read it again."""
    height, width, _ = grid(np.zeros((1, *shape), np.uint8)).shape  # of an image, magnified, with its frame
    return min(MAX_IMAGES, math.isqrt(MAX_PIXELS // (height * width)) ** 2)


def require_capacity(
    shape: Sequence[int], count: int, instead: str = "write to FOLDER/ or FILE.npy", layout: Layout | None = None
) -> None:
    """Raise UsageError for more images than a sheet holds; instead: what to do then."""
    columns, scale = layout or AS_IT_IS
    if count > (most := capacity(shape)):
        raise UsageError(f"a sheet of this model holds at most {most} images, got {count}; {instead}")
    if columns is None and scale is None:
        return
    columns = columns or math.ceil(math.sqrt(count))
    height, width, _ = grid(np.zeros((1, *shape), np.uint8), scale=scale).shape
    if math.ceil(count / columns) * columns * height * width > MAX_PIXELS:
        raise UsageError(f"a sheet of {count} images in {columns} columns at this scale is too large; {instead}")


def sheet(images: np.ndarray, *, untrained: bool = False, layout: Layout | None = None) -> np.ndarray:
    """uint8 [N, H, W, C] on one image [H', W', C]; a single image has no frame."""
    columns, scale = layout or AS_IT_IS
    if len(images) == 1:
        image = images[0].repeat(scale or 1, axis=0).repeat(scale or 1, axis=1)
    else:
        image = grid(images, columns=columns, scale=scale)
    return marked(image, untrained=untrained)


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
