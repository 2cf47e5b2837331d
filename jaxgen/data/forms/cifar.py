"""cifar:PATH, the folders of CIFAR-10 and CIFAR-100 as they are published, for C (.bin) and for Python.

An image is 3,072 bytes: 32x32 red ones, row by row, then green, then blue. The files for Python are pickles, which are
read by `jaxgen.data.forms.pickled`, which runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.data.forms import pickled, tables
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.data.forms.tables import Part
from jaxgen.errors import JaxgenError, UsageError, one_line
from jaxgen.files import read_bytes

PIXELS = 3 * 32 * 32
MAX_BYTES = 1 << 28  # of one file; CIFAR-100's largest has 156 million


class Version(NamedTuple):
    """files: of each split; names: the file of class names; key, key_of_names: of labels and names in the pickles;
    labels: the bytes of labels before each image, of which the last is its class."""

    files: Mapping[str, tuple[str, ...]]
    names: str
    ending: str = ""
    key: str = "labels"
    key_of_names: str = "label_names"
    labels: int = 1


TEN = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
HUNDRED = {"train": ("train",), "test": ("test",)}
VERSIONS = (
    Version(TEN, "batches.meta.txt", ending=".bin"),
    Version(TEN, "batches.meta"),
    Version(HUNDRED, "fine_label_names.txt", ending=".bin", labels=2),
    Version(HUNDRED, "meta", key="fine_labels", key_of_names="fine_label_names"),
)


def opened(path: Path, options: Options) -> Opened:
    version = version_of(path)
    if version is None:
        what = "no files of CIFAR-10 or CIFAR-100 here (looked for data_batch_1, data_batch_1.bin, train and meta)"
        raise (JaxgenError if path.is_dir() else UsageError)(f"cifar:{path}: {what}")
    parts = {}
    for split, stems in version.files.items():
        files = [path / (stem + version.ending) for stem in stems]
        there = [file for file in files if file.is_file()]
        if there:
            read = [_binary(file, version) if version.ending else _python(file, version) for file in there]
            images, labels = (np.concatenate(arrays) for arrays in zip(*read, strict=True))
            parts[split] = Part(images.reshape(-1, 3, 32, 32), None if options.labels == "none" else labels)
    return tables.opened(parts, str(path), options, None if options.labels == "none" else _names(path, version))


def version_of(path: Path) -> Version | None:
    """Which of them a folder holds, by the file of class names and one of images."""
    for version in VERSIONS:
        first = path / (version.files["train"][0] + version.ending)
        if first.is_file() and (path / version.names).is_file():
            return version
    return None


def _binary(file: Path, version: Version) -> tuple[np.ndarray, np.ndarray]:
    content = np.frombuffer(read_bytes(file, MAX_BYTES), np.uint8)
    record = version.labels + PIXELS
    if len(content) % record or not len(content):
        raise JaxgenError(f"{file}: expected records of {record:,} bytes, got {len(content):,} bytes; replace it")
    records = content.reshape(-1, record)
    return records[:, version.labels :], records[:, version.labels - 1]


def _python(file: Path, version: Version) -> tuple[np.ndarray, np.ndarray]:
    values = _pickled(file)
    images, labels = values.get("data"), values.get(version.key)
    if not isinstance(images, np.ndarray) or images.shape[1:] != (PIXELS,) or not isinstance(labels, list):
        raise JaxgenError(f"{file}: expected 'data' of [N, {PIXELS}] bytes and {version.key!r}; replace it")
    return images, np.array(labels)


def _names(path: Path, version: Version) -> list[str]:
    file = path / version.names
    if version.ending:
        return read_bytes(file, MAX_BYTES).decode("utf-8", "replace").split()
    names = _pickled(file).get(version.key_of_names)
    if not isinstance(names, list):
        raise JaxgenError(f"{file}: has no {version.key_of_names!r}; replace it")
    return [str(name) for name in names]


def _pickled(file: Path) -> dict[str, Any]:
    try:
        values = pickled.read(read_bytes(file, MAX_BYTES))
    except ValueError as err:
        raise JaxgenError(f"{file}: cannot be read as one of CIFAR's files: {one_line(err)}") from err
    if not isinstance(values, dict):
        raise JaxgenError(f"{file}: cannot be read as one of CIFAR's files: it holds no table")
    return {key.decode() if isinstance(key, bytes) else str(key): value for key, value in values.items()}


FORM = Form(words="CIFAR-10's or CIFAR-100's folder", open=opened, options=frozenset({"labels"}))
