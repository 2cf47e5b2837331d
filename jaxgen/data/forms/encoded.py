"""Images that lie somewhere as encoded files (PNG, JPEG, ...), decoded when they are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from jaxgen.data.dataset import Shape
from jaxgen.data.decode import decode, mode_of
from jaxgen.data.forms import splits, tables
from jaxgen.data.forms.form import Opened, Options
from jaxgen.data.forms.tree import Tree
from jaxgen.data.transforms import is_grey
from jaxgen.errors import JaxgenError

LOOKED_AT = 64  # images, evenly spaced, that tell the size and the channels of all


class EncodedImages:
    """Images as files or bytes. names: of each in messages; labels: -1 for none; fetch: the path or the bytes of a row,
    from several threads at once; white: as in `decode`."""

    def __init__(
        self, names: Sequence[str], labels: Sequence[int] | np.ndarray, classes: tuple[str, ...],
        fetch: Callable[[int], Path | bytes], *, white: float = 0,
    ) -> None:  # fmt: skip
        self.names = names
        self.labels = np.asarray(labels, np.int32)
        self.classes = classes
        self._fetch = fetch
        self._white = white

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def shape(self) -> Shape:
        """Height and width, None where they differ, and channels, 1 if no colour is seen: of some images, since reading
        all may take minutes. What cannot be read is left to `read`, which names it."""
        rows = sorted({row * len(self) // LOOKED_AT for row in range(LOOKED_AT)}) if len(self) else []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            seen = [image for image in pool.map(self._glanced, rows) if image is not None]
        if not seen:
            return None, None, None
        sizes = {image.shape[:2] for image in seen}
        height, width = sizes.pop() if len(sizes) == 1 else (None, None)
        return height, width, 1 if all(map(is_grey, seen)) else 3

    def read(self, rows: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside the interpreter's lock
            images = list(pool.map(self.one, rows))
        return [(image, int(self.labels[row])) for image, row in zip(images, rows, strict=True)]

    def one(self, row: int) -> np.ndarray:
        """The image of a row. Raises JaxgenError, which names it, if it cannot be read."""
        return decode(self._fetch(row), self.names[row], white=self._white)

    def mode(self, row: int) -> str:
        """Pillow's name for the pixels of a row as they are stored: 'L', 'RGB', 'I;16', ..."""
        return mode_of(self._fetch(row), self.names[row])

    def _glanced(self, row: int) -> np.ndarray | None:
        try:
            return self.one(row)
        except JaxgenError:
            return None


class Encoded(NamedTuple):
    """A split of encoded images. names, fetch: as in `EncodedImages`; labels: [N] of any kind, None without labels."""

    names: Sequence[str]
    fetch: Callable[[int], Path | bytes]
    labels: np.ndarray | None


def opened(
    parts: Mapping[str, Encoded], name: str, options: Options, classes: Sequence[str] | None = None,
    passed_over: Mapping[str, str] | None = None,
) -> Opened:  # fmt: skip
    """A dataset of encoded images; a single split is divided. classes: the names, if labels are numbers of those."""
    labelled, left_out = tables.labelled_alike({split: part.labels for split, part in parts.items()})
    labels, known = tables.numbered(labelled, classes, name)
    made: dict[str, EncodedImages] = {}
    for split in labelled:
        part = parts[split]
        numbers = labels.get(split, np.full(len(part.names), -1, np.int32))
        rows = splits.every_tenth(len(part.names)) if set(labelled) == {"train"} else {split: range(len(part.names))}
        for divided, chosen in rows.items():
            made[divided] = EncodedImages(
                [part.names[row] for row in chosen], numbers[list(chosen)], known,
                partial(_fetched, part.fetch, chosen), white=options.white,
            )  # fmt: skip
    return Opened(splits=splits.completed(made), classes=known, passed_over={**(passed_over or {}), **left_out})


def _fetched(fetch: Callable[[int], Path | bytes], chosen: Sequence[int], row: int) -> Path | bytes:
    """The path or the bytes of a row among some that were chosen."""
    return fetch(chosen[row])


def of_tree(
    tree: Tree, where: str, fetch: Callable[[PurePath], Path | bytes], options: Options, others: Mapping[str, str]
) -> Opened:
    """A dataset of the files of a tree. fetch: the path or the bytes of a file; others: files that are no images."""

    def images(chosen: list[PurePath]) -> EncodedImages:
        names, labels = [f"{where}/{path}" for path in chosen], [tree.labels[path] for path in chosen]
        return EncodedImages(names, labels, tree.classes, lambda row: fetch(chosen[row]), white=options.white)

    return Opened(
        splits={split: images(chosen) for split, chosen in tree.splits.items()},
        classes=tree.classes,
        passed_over={**{f"{where}/{path}": why for path, why in tree.passed_over.items()}, **others},
    )
