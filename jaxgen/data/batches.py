"""Batches as a function of the step: resuming needs the step number and no saved iterator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jaxgen import palettes
from jaxgen.data.dataset import Dataset, Images
from jaxgen.data.identity import Identity
from jaxgen.data.transforms import fit
from jaxgen.errors import JaxgenError, UsageError, extra

Batch = tuple[np.ndarray, np.ndarray]  # images uint8 [B, H, W, C], labels int32 [B]

READ_AT_ONCE = 256  # native images in memory at a time


class Batches(Protocol):
    """Endless batches of one process. An epoch has each image at most once; images that fill no batch are left out."""

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        ...

    @property
    def palette(self) -> tuple[str, ...]:
        """The colours of all images as '#rrggbb', if they are few enough for `jaxgen.palettes` and in memory."""
        ...

    @property
    def identity(self) -> Identity:
        """What tells these images from others, wherever they lie."""
        ...

    def __getitem__(self, step: int) -> Batch:
        """This process' rows of batch `step`, which counts from 0 over all epochs."""
        ...


@dataclass(frozen=True)
class Share:
    """A process' share of each global batch: the process_index-th of process_count equal slices."""

    batch_size: int  # over all processes
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"batch_size must be >= 1, got {self.batch_size}")
        if not 0 <= self.process_index < self.process_count:
            raise UsageError(f"process_index must be in [0, {self.process_count}), got {self.process_index}")
        if self.batch_size % self.process_count:
            raise UsageError(f"batch_size {self.batch_size} must be a multiple of the {self.process_count} processes")

    @property
    def local_size(self) -> int:
        return self.batch_size // self.process_count

    def steps(self, count: int) -> int:
        """The number of whole batches in an epoch of `count` images. Raises UsageError if it is 0."""
        if self.batch_size > count:
            fits = self.process_count * fitting(count // self.process_count)
            hint = f"; --set training.batch_size={fits}" if fits else ""
            raise UsageError(f"batch_size {self.batch_size} is larger than the dataset, which has {count} images{hint}")
        return count // self.batch_size

    def rows(self, step_in_epoch: int) -> slice:
        start = step_in_epoch * self.batch_size + self.process_index * self.local_size
        return slice(start, start + self.local_size)


def fitting(count: int) -> int:
    """The largest batch of a power of 2, which divides over devices, for `count` images; 0 for none."""
    return 1 << (count.bit_length() - 1) if count > 0 else 0


def require_labels(labels: np.ndarray, classes: Sequence[str]) -> None:
    """Raise JaxgenError for images of no class, or of one outside the classes, if there are classes."""
    outside = int(np.count_nonzero((labels < 0) | (labels >= len(classes)))) if classes else 0
    if outside:
        raise JaxgenError(
            f"{outside:,} of {len(labels):,} images have no class (of {len(classes)}), and a conditional network needs "
            "one for each: give them one, leave them out, or train without classes"
        )


class ArrayBatches:
    """Batches of images in memory."""

    def __init__(self, data: Dataset, share: Share, *, seed: int, labelled: bool = False) -> None:
        if labelled:
            require_labels(data.labels, data.classes)
        self._data = data
        self._share = share
        self._seed = seed
        self._epoch_order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        self.steps_per_epoch = share.steps(len(data))
        self.classes = data.classes
        self.shape: tuple[int, int, int] = data.images.shape[1:]

    @property
    def palette(self) -> tuple[str, ...]:
        found = palettes.of_images(self._data.images)
        return () if found is None else tuple(palettes.to_text(found))

    @property
    def identity(self) -> Identity:
        images, labels = self._data.images, self._data.labels
        return Identity.of(lambda rows: (images[rows], labels[rows]), len(images), self.classes)

    def __getitem__(self, step: int) -> Batch:
        epoch, step_in_epoch = divmod(_checked(step), self.steps_per_epoch)
        rows = self._order(epoch)[self._share.rows(step_in_epoch)]
        return self._data.images[rows], self._data.labels[rows]

    def _order(self, epoch: int) -> np.ndarray:
        cached, order = self._epoch_order  # read and written as one value: threads may share this
        if cached != epoch:
            order = permutation(len(self._data), seed=self._seed, epoch=epoch)
            self._epoch_order = (epoch, order)
        return order


class StreamedBatches:
    """Batches read by Grain on demand, for datasets that do not fit in memory."""

    palette: tuple[str, ...] = ()  # not known without reading all of them

    def __init__(
        self, images: Images, share: Share, *, seed: int, size: int, channels: int, labelled: bool = False
    ) -> None:  # fmt: skip
        with extra("train"):
            import grain
        self._labelled = labelled
        if labelled and images.labels is not None:
            require_labels(images.labels, images.classes)
        self._images = images
        self._share = share
        self.steps_per_epoch = share.steps(len(images))
        self.classes = images.classes
        self.shape = (size, size, channels)
        whole = slice(0, self.steps_per_epoch * share.batch_size)
        # Grain shuffles epoch e of seed s like epoch 0 of seed s + e; scattered seeds keep the orders different.
        scattered = int(np.random.PCG64(seed).random_raw()) % 2**32
        # Batches of row numbers are read at once, so that the images of a batch are decoded together.
        rows = grain.MapDataset.range(len(images)).shuffle(seed=scattered).slice(whole).batch(share.local_size)
        self._batches = rows.map(self._read)

    @property
    def identity(self) -> Identity:
        return Identity.of(lambda rows: self._read(np.array(rows, np.int64)), len(self._images), self.classes)

    def __getitem__(self, step: int) -> Batch:
        return self._batches[_checked(step) * self._share.process_count + self._share.process_index]

    def _read(self, rows: np.ndarray) -> Batch:
        size, _, channels = self.shape
        images, labels = read_all(self._images, rows.tolist(), size, channels)
        if self._labelled:
            require_labels(labels, self.classes)
        return images, labels


class RenamedBatches:
    """Batches whose labels are those of other class names: those by which a run was trained before."""

    def __init__(self, batches: Batches, classes: Sequence[str], numbers: np.ndarray) -> None:
        """numbers: of each class of `batches`, its number among `classes`, -1 for none; see `renumbered`."""
        self._batches, self._numbers = batches, numbers
        self.steps_per_epoch, self.shape, self.classes = batches.steps_per_epoch, batches.shape, tuple(classes)

    @property
    def palette(self) -> tuple[str, ...]:
        return self._batches.palette

    @property
    def identity(self) -> Identity:
        return self._batches.identity

    def __getitem__(self, step: int) -> Batch:
        images, labels = self._batches[step]
        return images, renumbered(labels, self._numbers)


def renumbered(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Labels [N] by a table of numbers [K]; -1, no class, stays."""
    return np.append(numbers, -1).astype(np.int32)[labels]


def read_all(source: Images, rows: Sequence[int], size: int, channels: int) -> Batch:
    """The images and labels of `rows`, cropped and resized: uint8 [N, size, size, channels], int32 [N]."""
    images = np.empty((len(rows), size, size, channels), np.uint8)
    labels = np.empty(len(rows), np.int32)
    for start in range(0, len(rows), READ_AT_ONCE):
        for i, (image, label) in enumerate(source.read(rows[start : start + READ_AT_ONCE]), start):
            images[i] = fit(image[None], size, channels)[0]
            labels[i] = label
    return images, labels


def permutation(count: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: int64 [count], a function of its arguments alone.

    It sorts raw bits, because NumPy guarantees stable bit generators, but not stable Generator methods.
    """
    return np.argsort(np.random.PCG64([seed, epoch]).random_raw(count), kind="stable")


def _checked(step: int) -> int:
    if step < 0:
        raise IndexError(f"step must be >= 0, got {step}")
    return step
