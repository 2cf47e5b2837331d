"""The types of the data package: descriptions, images in memory, images read on demand, and sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from jaxgen.errors import JaxgenError

Shape = tuple[int | None, int | None, int | None]  # height, width, channels; None: variable, or not known yet


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """The description of a dataset, available before its images are read."""

    name: str
    title: str
    source: str  # the authors and the licence
    shape: Shape  # before any resizing
    classes: tuple[str, ...] = ()  # () without labels
    splits: dict[str, int]  # number of images in each known split
    ready: bool  # whether `get` and `load` would find it here, checked as they check it
    problem: str = ""  # why they would fail on what is here; '' if nothing is wrong


@dataclass(frozen=True)
class Dataset:
    """Images in memory. images: uint8 [N, H, W, C]; labels: int32 [N], -1 for none; border: the colour of the border
    with which pixel art grows to a size that is no multiple of its own; None: it is resampled."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = ()
    border: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.images)


class Images(Protocol):
    """Images read on demand, by row."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def shape(self) -> Shape: ...

    @property
    def labels(self) -> np.ndarray | None:
        """int32 [N], -1 for none; None if they are known only when the images are read."""
        ...

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        """The uint8 [H, W, C] image and the label (-1: none) of each row."""
        ...


def found_here(look: Callable[[], bool]) -> tuple[bool, str]:
    """Whether a dataset is ready, and what is wrong with what is here: `look` finds it as `get` does, and raises
    JaxgenError where that would."""
    try:
        return look(), ""
    except JaxgenError as err:
        return False, str(err)


class Source(Protocol):
    """A source of a dataset. `data_dir` is the user's folder, or None."""

    def info(self, data_dir: Path | None) -> DatasetInfo: ...

    def get(self, data_dir: Path | None) -> Path | None:
        """Fetch, check and convert the dataset once; returns its folder, or None if it needs none."""
        ...

    def open(self, split: str, data_dir: Path | None) -> Dataset | Images:
        """One split at its native size, prepared first if necessary."""
        ...
