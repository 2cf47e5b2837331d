"""A folder of image files as a dataset, with its subfolders as classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jaxgen.data.dataset import DatasetInfo
from jaxgen.data.decode import decode
from jaxgen.data.image_files import ENDINGS, below
from jaxgen.errors import JaxgenError, UsageError, lookup

TEST_EVERY = 10  # every tenth image, in the order of their paths, is for testing


class FolderImages:
    """A selection of a folder's images, read on demand."""

    shape = (None, None, None)

    def __init__(self, root: Path, paths: Sequence[Path], classes: tuple[str, ...]) -> None:
        self._root = root
        self._paths = paths
        self.classes = classes

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, rows: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside the interpreter's lock
            return list(pool.map(self._read_one, rows))

    def _read_one(self, row: int) -> tuple[np.ndarray, int]:
        path = self._paths[row]
        label = class_of(path)
        return decode(self._root / path, str(self._root / path)), self.classes.index(label) if label else -1


class ImageFolder:
    """folder:PATH. Images directly in PATH have no label; the others have the class of their first subfolder."""

    def __init__(self, path: str) -> None:
        self._root = Path(path).expanduser()

    def info(self, data_dir: Path | None) -> DatasetInfo:
        paths = self._paths()
        return DatasetInfo(
            name=f"folder:{self._root}",
            title=f"the images in {self._root}",
            source="your own",
            shape=FolderImages.shape,
            classes=self._classes(paths),
            splits={split: len(rows) for split, rows in self._splits(paths).items()},
            ready=True,
        )

    def get(self, data_dir: Path | None) -> Path:
        self._paths()
        return self._root

    def open(self, split: str, data_dir: Path | None) -> FolderImages:
        paths = self._paths()
        chosen = lookup(self._splits(paths), split, f"split of folder:{self._root}")
        if not chosen:
            raise JaxgenError(f"{self._root}: {len(paths)} images leave none for {split!r}; every tenth is for testing")
        return FolderImages(self._root, chosen, self._classes(paths))

    def _paths(self) -> list[Path]:
        """All images below the folder, relative to it and in a fixed order. Raises if there is none."""
        if not self._root.is_dir():
            raise UsageError(f"folder:{self._root}: there is no such folder")
        paths = below(self._root, "**/*")
        if not paths:
            raise JaxgenError(f"{self._root}: no images here (looked for {', '.join(sorted(ENDINGS))})")
        return paths

    @staticmethod
    def _classes(paths: Sequence[Path]) -> tuple[str, ...]:
        return tuple(sorted({label for path in paths if (label := class_of(path))}))

    @staticmethod
    def _splits(paths: Sequence[Path]) -> dict[str, list[Path]]:
        test = set(paths[TEST_EVERY - 1 :: TEST_EVERY])
        return {"train": [path for path in paths if path not in test], "test": sorted(test, key=lambda p: p.parts)}


def class_of(path: Path) -> str | None:
    """The first folder of a relative path; None for a file without a subfolder."""
    return path.parts[0] if len(path.parts) > 1 else None
