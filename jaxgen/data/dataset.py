"""What the data package hands out: a description, an array of images, or images that are read on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

Shape = tuple[int | None, int | None, int | None]  # height, width, channels; None: differs, or not known yet


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known about a dataset before its images are read."""

    name: str
    title: str
    source: str  # who made it, and its licence
    shape: Shape  # as it comes, before any resizing
    classes: tuple[str, ...] = ()  # () if it has no labels
    splits: dict[str, int]  # images in each, as far as known
    ready: bool  # can be loaded without a download


@dataclass(frozen=True)
class Dataset:
    """Images in memory. images: uint8 [N, H, W, C]; labels: int32 [N], -1 where there is none."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)


class Images(Protocol):
    """Images that are read on demand, by row."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def shape(self) -> Shape: ...

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        """The uint8 [H, W, C] image and the label (-1: none) of each row."""
        ...


class Source(Protocol):
    """One way to come by a dataset. `data_dir` is the folder the user named, or None."""

    def info(self, data_dir: Path | None) -> DatasetInfo: ...

    def get(self, data_dir: Path | None) -> Path | None:
        """Fetch, check and convert whatever is needed, once; where it lies then, or None if it needs no place."""
        ...

    def open(self, split: str, data_dir: Path | None) -> Dataset | Images:
        """One split at its native size, prepared first if need be."""
        ...
