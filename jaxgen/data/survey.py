"""A survey of people's own data: all of it read once, so that nothing in it surprises a training."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from jaxgen.data.catalog import measures
from jaxgen.data.dataset import Dataset, Images
from jaxgen.data.forms.encoded import EncodedImages
from jaxgen.data.forms.form import Opened
from jaxgen.data.forms.own_data import shape_of
from jaxgen.data.transforms import fit
from jaxgen.errors import JaxgenError
from jaxgen.images import BACKGROUND

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # Pillow's names
PER_CLASS = 8  # images of each class on a sheet
WIDEST = 32  # classes, as columns of a sheet; of more, or none, images are taken evenly from all


@dataclass(frozen=True, kw_only=True)
class Survey:
    """sizes, modes: how many images have each, such as '28x28' (height first) and 'RGB', the commonest first; classes:
    of each split, how many images each class has; listed: files that cannot be read and those that were passed over, by
    name, with the reason."""

    sizes: dict[str, int]
    modes: dict[str, int]
    classes: dict[str, dict[str, int]]
    listed: dict[str, str]


def survey(opened: Opened) -> Survey:
    """Read every image once; one that cannot be read is listed, and stops nothing."""
    sizes: Counter[str] = Counter()
    modes: Counter[str] = Counter()
    listed: dict[str, str] = {}
    for images in opened.splits.values():
        if isinstance(images, Dataset):
            count, height, width, channels = images.images.shape
            sizes[f"{height}x{width}"] += count
            modes[MODES[channels]] += count
        elif isinstance(images, EncodedImages):
            _look_at_all(images, sizes, modes, listed)
    classes = {split: _counted(images, opened.classes) for split, images in opened.splits.items()}
    return Survey(
        sizes=dict(sizes.most_common()), modes=dict(modes.most_common()), classes=classes if opened.classes else {},
        listed={**listed, **opened.passed_over},
    )  # fmt: skip


def samples(images: Dataset | Images, names: Sequence[str]) -> tuple[np.ndarray, int]:
    """Images for a sheet, uint8 [N, S, S, C], row by row, and its columns: one for each class, in order, or
    images from everywhere. A class with fewer images has grey in their places."""
    size, channels = measures(shape_of(images))
    classes, labels = len(names), images.labels
    if labels is None or not 0 < classes <= WIDEST:
        rows = np.unique(np.arange(64) * len(images) // 64)
        found = [image for row in rows if (image := _fitted(images, int(row), size, channels)) is not None]
        return np.stack(found) if found else np.zeros((0, size, size, channels), np.uint8), 8
    sheet = np.full((PER_CLASS, classes, size, size, channels), BACKGROUND, np.uint8)
    for label in range(classes):
        places = iter(range(PER_CLASS))
        for row in np.flatnonzero(labels == label)[: 2 * PER_CLASS]:
            image = _fitted(images, int(row), size, channels)
            if image is not None and (place := next(places, None)) is not None:
                sheet[place, label] = image
    return sheet.reshape(-1, size, size, channels), classes


def _look_at_all(images: EncodedImages, sizes: Counter[str], modes: Counter[str], listed: dict[str, str]) -> None:
    def look(row: int) -> tuple[str, str] | str:
        try:
            height, width, _ = images.one(row).shape
            return f"{height}x{width}", images.mode(row)
        except JaxgenError as err:
            return str(err)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, seen in enumerate(pool.map(look, range(len(images)))):
            if isinstance(seen, str):
                listed[images.names[row]] = seen.removeprefix(f"{images.names[row]}: ")
            else:
                sizes[seen[0]] += 1
                modes[seen[1]] += 1


def _counted(images: Dataset | Images, classes: tuple[str, ...]) -> dict[str, int]:
    labels = images.labels
    counts: Mapping[int, int] = Counter() if labels is None else Counter(labels.tolist())
    return {name: counts.get(number, 0) for number, name in enumerate(classes)}


def _fitted(images: Dataset | Images, row: int, size: int, channels: int) -> np.ndarray | None:
    """An image at this measure; None if it cannot be read."""
    try:
        image = images.images[row] if isinstance(images, Dataset) else images.read([row])[0][0]
    except JaxgenError:
        return None
    return fit(image[None], size, channels)[0]
