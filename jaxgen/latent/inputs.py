"""Input images for a model, from files, folders, arrays or a dataset, fitted to the model's shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.inference.classes import class_number

Shape = tuple[int, int, int]

# The named regions of a mask, as shares of the height and width: top, bottom, left, right.
REGIONS = {
    "top": (0, 1 / 2, 0, 1),
    "bottom": (1 / 2, 1, 0, 1),
    "left": (0, 1, 0, 1 / 2),
    "right": (0, 1, 1 / 2, 1),
    "center": (1 / 4, 3 / 4, 1 / 4, 3 / 4),
}


@dataclass(frozen=True, kw_only=True)
class Images:
    """images: uint8 [N, H, W, C]; labels: int [N], -1 for none; names: of each image in tables, for files the given
    path."""

    images: np.ndarray
    labels: np.ndarray
    names: list[str]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def from_files(cls, paths: Sequence[Path], shape: Shape, *, invert: bool = False) -> Self:
        """Image files, folders of them and .npy arrays uint8 [N, H, W, C], in this order; fitted to `shape`.

        invert: swap dark and light, as for a digit drawn on paper. Raises JaxgenError on files that are no images.
        """
        from jaxgen.data.image_files import named, read_images

        names: list[str] = []
        images: list[np.ndarray] = []
        for file in (file for path in paths for file in named(path)):
            images.append(read_images([file], shape[0], shape[2]))
            count = len(images[-1])
            names += [str(file)] if count == 1 else [f"{file}[{i}]" for i in range(count)]
        if not images:
            raise UsageError("no images: name files, folders or .npy arrays, or a --dataset")
        stacked = np.concatenate(images)
        return cls(images=255 - stacked if invert else stacked, labels=np.full(len(stacked), -1), names=names)

    @classmethod
    def from_dataset(
        cls, name: str, shape: Shape, *, split: str, first: int = 0, count: int | None = None, data_dir: Path | None,
        invert: bool = False,
    ) -> Self:  # fmt: skip
        """`count` images of a dataset's split from `first` on, None: all; invert: as in `from_files`.

        Raises as jaxgen.data does.
        """
        from jaxgen import data

        dataset = data.load(name, split, data_dir=data_dir, size=shape[0], channels=shape[2])
        rows = np.arange(len(dataset))[first : None if count is None else first + count]
        if not len(rows):
            raise UsageError(f"{name} has {len(dataset)} images in its {split!r} split: none from {first}")
        return cls(
            images=255 - dataset.images[rows] if invert else dataset.images[rows],
            labels=dataset.labels[rows].astype(np.int64),
            names=[f"{split}[{row}]" for row in rows],
            classes=tuple(dataset.classes),
        )

    def number(self, name: str) -> int:
        """A class's number from its name or its number. Raises UsageError if these images have no such class."""
        number = class_number(name, self.classes)
        if number is not None:
            return number
        raise UsageError(f"expected a class of the dataset ({', '.join(self.classes) or 'it has none'}), got {name!r}")

    def called(self, label: int) -> str:
        """The name of a class, '-' for none."""
        return self.classes[label] if 0 <= label < len(self.classes) else "-"


def mask(text: str, shape: Shape) -> np.ndarray:
    """The pixels to sample: bool [H, W], from the name of a region, or the light pixels of an image.

    Raises UsageError if all pixels or none are selected, JaxgenError if the image cannot be read.
    """
    height, width, _ = shape
    if text in REGIONS:
        top, bottom, left, right = REGIONS[text]
        unknown = np.zeros((height, width), bool)
        unknown[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    elif not Path(text).exists():
        raise UsageError(f"--mask takes an image, or one of {', '.join(REGIONS)}; got {text!r}")
    else:
        from jaxgen.data.image_files import read_images

        unknown = read_images([Path(text)], height, 1)[0, ..., 0] >= 128
    if unknown.all() or not unknown.any():
        known = "nothing" if unknown.all() else "everything"
        raise UsageError(f"--mask {text}: {known} is known; its light pixels are sampled")
    return unknown
