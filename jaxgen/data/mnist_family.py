"""Sets in MNIST's manner, by name: EMNIST (upright, with names for its classes), KMNIST, QMNIST and USPS.

They are read from their published files in the user's folder, as torchvision leaves them there too, or, those that TFDS
has, from a prepared TFDS dataset.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxgen.data import idx
from jaxgen.data.cache import find_prepared, user_folder
from jaxgen.data.dataset import Dataset, DatasetInfo, Images
from jaxgen.data.tfds import TfdsByName, TfdsImages
from jaxgen.errors import JaxgenError, extra, lookup, one_line

Files = dict[str, tuple[str, str]]  # split -> names of the files of images and labels, without .gz

MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"  # where upper and lower case look alike, they are one


@dataclass(frozen=True, kw_only=True)
class FamilySet:
    """transposed: whether rows and columns are swapped in the files and in TFDS; first_label: the number of the first
    class there; in_tfds: whether TFDS has it; counts: images of each split, as published; place: where the files are
    published."""

    name: str
    title: str
    source: str
    place: str
    classes: tuple[str, ...]
    files: Files
    counts: dict[str, int]
    subfolders: tuple[str, ...]
    size: int = 28
    transposed: bool = False
    first_label: int = 0
    in_tfds: bool = True

    def info(self, data_dir: Path | None) -> DatasetInfo:
        return DatasetInfo(
            name=self.name, title=self.title, source=self.source, shape=(self.size, self.size, 1),
            classes=self.classes, splits=dict(self.counts),
            ready=self._folder(data_dir) is not None or self._prepared(data_dir) is not None,
        )  # fmt: skip

    def get(self, data_dir: Path | None) -> Path:
        found = self._folder(data_dir) or self._prepared(data_dir)
        if found:
            return found
        names = ", ".join(sorted({file for pair in self.files.values() for file in pair}))
        hint = f"put its files ({names}; from {self.place}) in a folder and pass --data-dir FOLDER"
        if not self.in_tfds:
            raise JaxgenError(f"{self.name} is not here; {hint}")
        try:
            return TfdsByName(self.name).get(data_dir)
        except JaxgenError as err:
            raise type(err)(f"{err}; or {hint}") from err

    def open(self, split: str, data_dir: Path | None) -> Dataset | Images:
        lookup(self.files, split, f"split of {self.name}")
        folder = self._folder(data_dir)
        if folder is None:
            return Turned(TfdsImages(self.get(data_dir), split), self)
        images, labels = self._read(folder, split)
        return Dataset(self.upright(images), self.numbers(labels), self.classes)

    def upright(self, images: np.ndarray) -> np.ndarray:
        """[..., H, W, C] as people write."""
        return np.ascontiguousarray(images.swapaxes(-3, -2)) if self.transposed else images

    def numbers(self, labels: np.ndarray) -> np.ndarray:
        """Labels of the files as numbers of `classes`: int32 [N]. Raises JaxgenError for one that is no class."""
        found = labels.astype(np.int32) - self.first_label
        if found.size and not (found.min() >= 0 and found.max() < len(self.classes)):
            raise JaxgenError(f"{self.name}: its labels are from {labels.min()} to {labels.max()}; replace the files")
        return found

    def _folder(self, data_dir: Path | None) -> Path | None:
        """The first folder with all files; where these have MNIST's own names, only one of the set's name will do."""
        named = user_folder(data_dir)
        stems = [stem for pair in self.files.values() for stem in pair]
        root = () if self.files == _idx_files("", test="t10k") else ("",)
        places = [named / sub for sub in (*self.subfolders, *root)] if named else []
        return next((place for place in places if all(_file(place, stem) for stem in stems)), None)

    def _prepared(self, data_dir: Path | None) -> Path | None:
        return find_prepared(self.name, data_dir) if self.in_tfds else None

    def _read(self, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 [N, H, W, 1] and labels [N] of the files."""
        paths = [_file(folder, stem) or folder / stem for stem in self.files[split]]
        images, labels = (idx.parse(idx.read(path), str(path)) for path in paths)
        labels = labels[:, 0] if labels.ndim == 2 else labels  # QMNIST's tell the writer, too
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise JaxgenError(f"{paths[0]}: {list(images.shape)} images and {list(labels.shape)} labels; replace them")
        return images[..., None], labels


class Usps(FamilySet):
    """USPS, whose files are lines of text in LIBSVM's format: label, and the pixels from -1 to 1 by their number."""

    def _read(self, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
        with extra("train"):
            from sklearn.datasets import load_svmlight_file
        path = _file(folder, self.files[split][0]) or folder
        try:
            pixels, labels = load_svmlight_file(str(path), n_features=self.size**2)
        except (OSError, EOFError, ValueError, IndexError) as err:
            raise JaxgenError(f"{path}: cannot be read as a file of USPS ({one_line(err)}); replace it") from err
        images = np.rint((pixels.toarray().clip(-1, 1) + 1) * 127.5).astype(np.uint8)
        return images.reshape(-1, self.size, self.size, 1), labels


class Turned:
    """Images of a prepared set, upright and by our class numbers."""

    labels: np.ndarray | None = None  # known when they are read

    def __init__(self, images: TfdsImages, kind: FamilySet) -> None:
        self._images, self._kind = images, kind
        self.classes, self.shape = kind.classes, images.shape

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        return [
            (self._kind.upright(image), int(self._kind.numbers(np.array([label]))[0]))
            for image, label in self._images.read(rows)
        ]


def _file(folder: Path, stem: str) -> Path | None:
    """A file, raw or packed; '-' and '.' before 'idx' are the same."""
    spellings = (stem, stem.replace("-idx", ".idx"))
    paths = (folder / (name + ending) for name in spellings for ending in ("", ".gz", ".bz2"))
    return next((path for path in paths if path.is_file()), None)


def _idx_files(prefix: str, test: str = "test", labels: str = "idx1-ubyte") -> Files:
    return {
        split: (f"{prefix}{word}-images-idx3-ubyte", f"{prefix}{word}-labels-{labels}")
        for split, word in (("train", "train"), ("test", test))
    }


def _emnist(kind: str, classes: str, train: int, test: int, what: str, *, first_label: int = 0) -> FamilySet:
    return FamilySet(
        name=f"emnist/{kind}", title=f"28x28 handwritten {what}, upright",
        source="G. Cohen, S. Afshar, J. Tapson, A. van Schaik, 2017; NIST, public domain",
        place="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        classes=tuple(classes), files=_idx_files(f"emnist-{kind}-"), counts={"train": train, "test": test},
        subfolders=("emnist", "EMNIST/raw", "EMNIST", "gzip"), transposed=True, first_label=first_label,
    )  # fmt: skip


FAMILY: dict[str, FamilySet] = {
    each.name: each
    for each in (
        _emnist("letters", string.ascii_uppercase, 124_800, 20_800, "letters of either case", first_label=1),
        _emnist("balanced", MERGED, 112_800, 18_800, "digits and letters, as many of each"),
        _emnist("digits", string.digits, 240_000, 40_000, "digits"),
        _emnist("byclass", string.digits + string.ascii_letters.swapcase(), 697_932, 116_323, "digits and letters"),
        _emnist("bymerge", MERGED, 697_932, 116_323, "digits and letters, of which alike ones are one"),
        _emnist("mnist", string.digits, 60_000, 10_000, "digits, cut as MNIST's"),
        FamilySet(
            name="kmnist", title="28x28 cursive hiragana",
            source="T. Clanuwat et al., Kuzushiji-MNIST, 2018; CC BY-SA 4.0",
            place="http://codh.rois.ac.jp/kmnist",
            classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
            files=_idx_files("", test="t10k"), counts={"train": 60_000, "test": 10_000},
            subfolders=("kmnist", "KMNIST/raw", "KMNIST"),
        ),
        FamilySet(
            name="qmnist", title="28x28 handwritten digits, MNIST with all 60,000 for testing",
            source="C. Yadav, L. Bottou, 2019; BSD", place="https://github.com/facebookresearch/qmnist",
            classes=tuple(string.digits), files=_idx_files("qmnist-", labels="idx2-int"),
            counts={"train": 60_000, "test": 60_000}, subfolders=("qmnist", "QMNIST/raw", "QMNIST"), in_tfds=False,
        ),
        Usps(
            name="usps", title="16x16 digits of postal codes",
            source="J. J. Hull, 1994; for research", place="https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets",
            classes=tuple(string.digits), files={"train": ("usps", "usps"), "test": ("usps.t", "usps.t")},
            counts={"train": 7_291, "test": 2_007}, subfolders=("usps", "USPS", "USPS/raw"), size=16, first_label=1,
            in_tfds=False,
        ),
    )
}  # fmt: skip
