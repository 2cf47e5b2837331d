"""What forms of images in arrays share: arrays as datasets, labels of any kind as class numbers, splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgen.data import pixels
from jaxgen.data.dataset import Dataset
from jaxgen.data.forms import splits
from jaxgen.data.forms.form import Opened, Options
from jaxgen.errors import JaxgenError, UsageError

MOST_CLASSES = 1000  # more different labels are no classes
WIDEST = 8  # times as wide as high: what is wider is no image, but an array in another order
ORDERS = "[N, H, W], [N, H, W, C], [N, C, H, W] or [N, S*S]"


class Part(NamedTuple):
    """images: of any layout that `as_images` knows; labels: [N] of any kind, None without labels."""

    images: np.ndarray
    labels: np.ndarray | None


def opened(
    parts: Mapping[str, Part], name: str, options: Options, classes: Sequence[str] | None = None,
    passed_over: Mapping[str, str] | None = None,
) -> Opened:  # fmt: skip
    """A dataset from the arrays of its splits; a single split is divided. classes: the names, if labels are numbers of
    those. Raises JaxgenError for arrays that are no images, or labels that fit neither them nor the classes."""
    labelled, left_out = labelled_alike({split: part.labels for split, part in parts.items()})
    parts = {split: Part(parts[split].images, values) for split, values in labelled.items()}
    layouts = {split: as_images(part.images, name, transpose=options.transpose) for split, part in parts.items()}
    scale = pixels.scale_of(list(layouts.values()), name, white=options.white)
    images = {split: pixels.scaled(array, scale) for split, array in layouts.items()}
    labels, names = numbered(labelled, classes, name)
    for split, array in images.items():
        labels.setdefault(split, np.full(len(array), -1, np.int32))
        if len(labels[split]) != len(array):
            raise JaxgenError(f"{name}: {len(array):,} images have {len(labels[split]):,} labels")
    if set(images) == {"train"}:
        rows = splits.every_tenth(len(images["train"]))
        images = {split: images["train"][chosen] for split, chosen in rows.items()}
        labels = {split: labels["train"][chosen] for split, chosen in rows.items()}
    divided = {split: Dataset(images[split], labels[split], names) for split in images}
    return Opened(splits=splits.completed(divided), classes=names, passed_over={**(passed_over or {}), **left_out})


def as_images(array: np.ndarray, name: str, *, transpose: bool = False) -> np.ndarray:
    """An array in one of ORDERS as [N, H, W, C], of its own type. Raises JaxgenError for any other."""
    shape = array.shape
    side = round(shape[1] ** 0.5) if array.ndim == 2 else 0
    if array.ndim == 2 and side > 1 and side * side == shape[1]:
        images = array.reshape(-1, side, side, 1)
    elif array.ndim == 3 and not (shape[2] in (1, 3, 4) and min(shape[:2]) > 4):
        images = array[..., None]
    elif array.ndim == 4 and shape[3] in (1, 2, 3, 4):
        images = array
    elif array.ndim == 4 and shape[1] in (1, 3, 4):
        images = array.transpose(0, 2, 3, 1)
    else:
        raise JaxgenError(f"{name}: expected images {ORDERS}, got {list(shape)}")
    if 0 in images.shape:
        raise JaxgenError(f"{name}: there are no images in {list(shape)}")
    height, width = images.shape[1:3]
    if max(height, width) > WIDEST * min(height, width):
        raise JaxgenError(f"{name}: expected images {ORDERS}, got {list(shape)}: images of {height}x{width}?")
    return images.swapaxes(1, 2) if transpose else images


def numbered(
    labels: Mapping[str, np.ndarray | None], classes: Sequence[str] | None, name: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels of any kind, by split, as numbers of classes, and the names of the classes; {}, () without labels.

    Without `classes`, the different labels are the classes, in natural order: numbers, names, or one column of ones.
    Raises JaxgenError for labels that are several a row, fractions or more than MOST_CLASSES, and for numbers outside
    `classes`.
    """
    known = {split: _flat(np.asarray(values), name) for split, values in labels.items() if values is not None}
    if not known:
        return {}, ()
    if classes is not None:
        for values in known.values():
            low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
            if values.dtype.kind not in "iu" or low < 0 or high >= len(classes):
                raise JaxgenError(f"{name}: labels must be from 0 to {len(classes) - 1}, got {low} to {high}")
        return {split: values.astype(np.int32) for split, values in known.items()}, tuple(classes)
    words = {split: [str(value) for value in values.tolist()] for split, values in known.items()}
    names = splits.in_order({word for part in words.values() for word in part})
    if len(names) > MOST_CLASSES:
        raise JaxgenError(f"{name}: {len(names):,} different labels are too many for classes; labels=none takes none")
    number = {word: place for place, word in enumerate(names)}
    return {split: np.array([number[word] for word in part], np.int32) for split, part in words.items()}, names


def _flat(values: np.ndarray, name: str) -> np.ndarray:
    """Labels [N] of [N], [N, 1] or one column of ones for each class [N, K]; whole numbers, text or booleans."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and values.shape[1] > 1 and set(np.unique(values)) == {0, 1} and (values.sum(1) == 1).all():
        values = values.argmax(1)
    if values.ndim != 1 or values.dtype.kind not in "iufbUS":
        raise JaxgenError(
            f"{name}: expected a label for each image, got {values.dtype} {list(values.shape)}; labels=none takes none"
        )
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise JaxgenError(f"{name}: labels must be whole numbers or names; labels=none takes none")
        values = values.astype(np.int64)
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def labelled_alike(
    labels: Mapping[str, np.ndarray | None],
) -> tuple[dict[str, np.ndarray | None], dict[str, str]]:
    """The labels of the splits that have some, if any has, and the splits that are left out for their lack, with the
    reason."""
    known = {split: values for split, values in labels.items() if values is not None and not _none(values)}
    if not known:
        return dict.fromkeys(labels), {}
    return dict(known), {f"split {split}": "without labels, and others have some" for split in set(labels) - set(known)}


def _none(labels: np.ndarray) -> bool:
    """Whether labels are -1, none, for every image, as published test splits have them."""
    return labels.dtype.kind == "i" and labels.size > 0 and bool((labels == -1).all())


def split_files(files: Sequence[Path], root: Path) -> dict[str, list[Path]]:
    """Files by the split that their names tell, or those of their folders below `root`.

    A single file, and files of which none tells a split, are for training. Raises UsageError if only some tell one.
    """
    told = {file: splits.named(file.name) or _of_folder(file, root) for file in files}
    if len(files) == 1 or not any(told.values()):
        return {"train": list(files)}
    if unclear := [file.name for file, split in told.items() if split is None]:
        raise UsageError(f"{root}: {unclear[0]} names no split, and others do; name it, or move it away")
    found: dict[str, list[Path]] = {}
    for file, split in told.items():
        found.setdefault(split or "", []).append(file)
    return found


def _of_folder(file: Path, root: Path) -> str | None:
    return splits.named(file.parent.name) if file.parent != root and root in file.parents else None
