"""The catalog of datasets: descriptions, preparation, images and batches by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxgen.data import forms
from jaxgen.data.batches import ArrayBatches, Batches, Share, StreamedBatches, read_all
from jaxgen.data.cryptopunks import CryptoPunks
from jaxgen.data.dataset import Dataset, DatasetInfo, Images, Shape, Source
from jaxgen.data.digits import Digits
from jaxgen.data.mnist import FASHION_MNIST, MNIST
from jaxgen.data.mnist_family import FAMILY
from jaxgen.data.tfds import TfdsByName
from jaxgen.data.transforms import fit, grow
from jaxgen.errors import UsageError

SOURCES: dict[str, Source] = {
    "digits": Digits(),
    "mnist": MNIST,
    "fashion_mnist": FASHION_MNIST,
    "cryptopunks": CryptoPunks(),
    **FAMILY,
}
ALIASES = {"emnist": "emnist/byclass"}  # as TFDS has it
DEFAULT_SIZE = 32  # of images that differ in size
LARGEST = 64  # pixels a side of images on demand, where no size is named: photographs would fill the memory
MEMORY_LIMIT = 2 * 10**9  # bytes of decoded images; larger datasets are read on demand


def names() -> list[str]:
    """The names of the built-in datasets; paths, FORM:PATH and the names of TFDS are accepted, too."""
    return list(SOURCES)


def info(name: str, *, data_dir: Path | None = None) -> DatasetInfo:
    """The description of a dataset, without fetching it. Raises UsageError if the name is unknown."""
    return source(name).info(data_dir)


def get(name: str, *, data_dir: Path | None = None) -> Path | None:
    """Fetch, check and convert a dataset once; returns its folder, None if it needs none (digits).

    data_dir: the first folder to read and, if writable, to write; None: JAXGEN_DATA_DIR, else the user's cache.
    Raises JaxgenError if the dataset cannot be fetched or its files have the wrong hash.
    """
    return source(name).get(data_dir)


def load(
    name: str,
    split: str = "train",
    *,
    data_dir: Path | None = None,
    size: int | None = None,
    channels: int | None = None,
) -> Dataset:
    """One split in memory, prepared first if necessary; centre-cropped and resized to `size`, with 1 or 3 channels.

    None keeps the dataset's size or channels; images of different shapes become 32 x 32 and RGB.
    """
    _check_measures(size, channels)
    return _in_memory(source(name).open(split, data_dir), size, channels)


def batches(
    data: str | Dataset | Images,
    batch_size: int,
    *,
    seed: int,
    split: str = "train",
    data_dir: Path | None = None,
    size: int | None = None,
    channels: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
    memory_limit: int = MEMORY_LIMIT,
    labelled: bool = False,
) -> Batches:
    """Batches of a dataset, by name, loaded or opened: batches(...)[step] gives uint8 images and int32 labels.

    batch_size: over all processes; this one gets the process_index-th slice of each batch. seed: in [0, 2^32).
    Datasets of more than memory_limit bytes are read on demand. labelled: every image must have a class, if the dataset
    has classes: JaxgenError for one without.
    Raises UsageError if batch_size is larger than the dataset or no multiple of process_count.
    """
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed must be in [0, 2^32), got {seed}")
    _check_measures(size, channels)
    share = Share(batch_size, process_index, process_count)
    opened = source(data).open(split, data_dir) if isinstance(data, str) else data
    if not isinstance(opened, Dataset):
        side, depth = _measured(opened, size, channels)
        if len(opened) * side * side * depth > memory_limit:
            return StreamedBatches(opened, share, seed=seed, size=side, channels=depth, labelled=labelled)
    return ArrayBatches(_in_memory(opened, size, channels), share, seed=seed, labelled=labelled)


def absolute(name: str, folder: Path | None = None) -> str:
    """The name of a dataset that is the same from anywhere: built in, TFDS's, or FORM:PATH with an absolute path.

    folder: what a relative path is relative to, None: the present folder.
    """
    return name if name in SOURCES else forms.absolute(name, folder)


def source(name: str) -> Source:
    """The source of a dataset: built in, people's own, or TFDS, which raises later if it does not know the name."""
    unversioned = name.partition(":")[0]
    family = FAMILY.get(ALIASES.get(unversioned, unversioned))
    if family:
        return family  # TFDS's own is not upright
    base, query, _ = name.partition("?")
    if query and base in SOURCES:
        raise UsageError(f"{base} takes no options: it is known; they are for data of your own, as FORM:PATH?key=value")
    return SOURCES.get(name) or forms.found(name) or TfdsByName(name, names())


def measures(shape: Shape, size: int | None = None, channels: int | None = None) -> tuple[int, int]:
    """The size and channels of images of this shape: those that are named, else their own, up to LARGEST."""
    height, width, depth = shape
    native = min(height, width, LARGEST) if height and width else DEFAULT_SIZE
    return size or native, channels or (1 if depth == 1 else 3)


def _in_memory(data: Dataset | Images, size: int | None, channels: int | None) -> Dataset:
    if isinstance(data, Dataset):
        images = data.images if data.border is None else grow(data.images, size, data.border)
        return Dataset(np.ascontiguousarray(fit(images, size, channels)), data.labels, data.classes)
    images, labels = read_all(data, range(len(data)), *_measured(data, size, channels))
    return Dataset(images, labels, data.classes)


def _measured(images: Images, size: int | None, channels: int | None) -> tuple[int, int]:
    """As `measures`; nothing is looked at if both are named."""
    return (size, channels) if size and channels else measures(images.shape, size, channels)


def _check_measures(size: int | None, channels: int | None) -> None:
    if size is not None and size < 1:
        raise UsageError(f"size must be >= 1, got {size}")
    if channels not in (None, 1, 3):
        raise UsageError(f"channels must be 1 or 3, got {channels}")
