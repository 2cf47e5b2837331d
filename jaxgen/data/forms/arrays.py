"""npz:PATH and npy:PATH, arrays that NumPy saved: Keras' mnist.npz, MedMNIST, Quick, Draw!, and people's own.

Nothing pickled is loaded: an array of Python objects is refused.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np

from jaxgen.data.forms import splits, tables
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.data.forms.tables import Part
from jaxgen.errors import JaxgenError, UsageError, lookup, one_line

IMAGES = ("images", "image", "imgs", "img", "x", "data", "arr_0")  # keys, without the word for a split
LABELS = ("labels", "label", "targets", "target", "y", "arr_1")
NAMES = ("class_names", "label_names")
NONE = "none"  # the key of labels for data that are to have none
# Names of files of images, and the names that the file of their labels then has.
PAIRS = (("images", "labels"), ("image", "label"), ("imgs", "labels"), ("x", "y"), ("X", "y"), ("data", "labels"))


def npz(path: Path, options: Options) -> Opened:
    name = str(path)
    loaded = _loaded(path)
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        raise JaxgenError(f"{name}: expected several arrays of NumPy (.npz), got one: npy:{path}")
    with loaded as archive:
        keys = list(archive.keys())
        images = _chosen(keys, options.images, IMAGES, name, "images")
        labels = {} if options.labels == NONE else _chosen(keys, options.labels, LABELS, name, "labels")
        if not images:
            raise JaxgenError(f"{name}: none of its keys ({', '.join(keys)}) is for images; name one: data.images=KEY")
        parts = {
            split: Part(_array(archive, key, name), _array(archive, labels[split], name) if split in labels else None)
            for split, key in images.items()
        }
        names = next((key for key in NAMES if key in keys), None)
        classes = [str(value) for value in _array(archive, names, name).tolist()] if names else None
        used = {*images.values(), *labels.values(), names}
    passed_over = {f"{name}: {key}": "no images or labels by its name" for key in keys if key not in used}
    return tables.opened(parts, name, options, classes, passed_over)


def npy(path: Path, options: Options) -> Opened:
    name = str(path)
    images = _loaded(path)
    beside = None if options.labels == NONE else _beside(path, options.labels)
    labels = None if beside is None else _loaded(beside)
    if not isinstance(images, np.ndarray) or not (labels is None or isinstance(labels, np.ndarray)):
        raise JaxgenError(f"{name}: expected an array of NumPy (.npy)")
    return tables.opened({"train": Part(images, labels)}, name, options)


def _loaded(path: Path) -> np.lib.npyio.NpzFile | np.ndarray:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as err:
        _refuse(str(path), err)


def _array(archive: Mapping[str, np.ndarray], key: str, name: str) -> np.ndarray:
    try:
        return archive[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as err:
        _refuse(f"{name}: {key}", err)


def _refuse(name: str, err: Exception) -> NoReturn:
    if "allow_pickle" in str(err):
        raise JaxgenError(f"{name}: holds pickled Python objects, which are never loaded; save plain arrays") from err
    raise JaxgenError(f"{name}: cannot be read as arrays of NumPy ({one_line(err)})") from err


def _chosen(keys: list[str], given: str, usual: tuple[str, ...], name: str, what: str) -> dict[str, str]:
    """The key of images or labels for each split; {} if there is none. given: one or more keys, separated by commas."""
    if given:
        table = {key: key for key in keys}
        chosen = [lookup(table, key.strip(), f"key of {name}") for key in given.split(",")]
    else:
        chosen = [key for key in keys if _without_split(key) in usual]
    found: dict[str, str] = {}
    for key in chosen:
        split = splits.named(key) or "train"
        if split in found:
            both = f"{found[split]} and {key}"
            raise UsageError(f"{name}: {both} could both be the {what} for {split}; name one: data.{what}=KEY")
        found[split] = key
    return found


def _without_split(key: str) -> str:
    """'x' of 'x_train', 'images' of 'train_images': a key without the word for its split."""
    words = [word for word in key.lower().split("_") if word not in splits.WORDS]
    return "_".join(words)


def _beside(path: Path, given: str) -> Path | None:
    """The file of labels of a .npy: as it is given, relative to the images' folder, or by the images' name."""
    if given:
        return path.parent / given
    for images, labels in PAIRS:
        stem = path.stem
        words = [labels if word == images else word for word in stem.split("_")]
        candidate = path.with_name("_".join(words) + path.suffix)
        if candidate != path and candidate.is_file():
            return candidate
    return None


_OPTIONS = frozenset({"images", "labels", "transpose", "white"})
NPZ = Form(words="a file of NumPy arrays, such as mnist.npz or MedMNIST's", open=npz, options=_OPTIONS)
NPY = Form(words="one NumPy array of images", open=npy, options=_OPTIONS - {"images"})
