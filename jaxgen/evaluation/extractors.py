"""The extractor of a dataset: the one that comes with jaxgen, or one that `jaxgen eval --fit-extractor` made here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from jaxgen import shipped
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import cache_folder, write_atomically
from jaxgen.inference import model_file
from jaxgen.inference.model_file import Artifact

Shape = tuple[int, int, int]
DIGITS = 12  # of the hash in a file's name


def folder() -> Path:
    """Where fitted extractors are kept, in the user's cache; it need not exist."""
    return cache_folder() / "extractors"


def canonical(dataset: str) -> str:
    """The name of a dataset by which its extractor is known: of a folder, the absolute path."""
    kind, colon, path = dataset.partition(":")
    return f"folder:{Path(path).expanduser().absolute()}" if kind == "folder" and colon else dataset


def located(dataset: str, shape: Shape | None = None) -> Path:
    """The extractor of a dataset for images [H, W, C] of this shape, None: any.

    One that comes with jaxgen goes before a fitted one. Raises UsageError if there is none, or more than one.
    """
    found = existing(dataset, shape)
    if found:
        return found
    try:
        ships = shipped.extractor(dataset)
    except UsageError as err:
        named = shlex.quote(dataset)
        raise UsageError(f"{err}, or make one: jaxgen eval --fit-extractor --dataset {named}") from err
    reads = "x".join(map(str, model_file.read(ships).inference.image_shape))
    size = "x".join(map(str, shape or ()))
    raise UsageError(
        f"the extractor of {dataset} that comes with jaxgen reads images of {reads}, these are {size}; --fit-extractor "
        "makes one for them"
    )


def existing(dataset: str, shape: Shape | None = None) -> Path | None:
    """As `located`, None if there is none. Raises UsageError if there is more than one."""
    try:
        ships = shipped.extractor(dataset)
        if shape is None or model_file.read(ships).inference.image_shape == shape:
            return ships
    except UsageError:
        pass
    fitted = [path for path in sorted(folder().glob(f"{_slug(dataset)}-*.onnx")) if _fits(path, dataset, shape)]
    if len(fitted) > 1:
        names = ", ".join(path.name for path in fitted)
        raise UsageError(f"{folder()} has several extractors of {dataset}: {names}; name one by --extractor")
    return fitted[0] if fitted else None


def keep(data: bytes, dataset: str) -> Path:
    """Put a fitted extractor's file into the cache, under a name with its hash. Raises JaxgenError if that fails."""
    artifact = model_file.parse(data, "the new extractor")
    try:
        folder().mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise JaxgenError(f"{folder()}: cannot be made: {err.strerror}; XDG_CACHE_HOME names another cache") from err
    path = folder() / f"{_slug(dataset)}-{artifact.sha256[:DIGITS]}.onnx"
    write_atomically(path, data)
    return path


def _slug(dataset: str) -> str:
    """The dataset's name as a part of a file's name; two datasets may share one."""
    return re.sub(r"[^\w.-]+", "-", canonical(dataset))[-100:].strip("-")


def _fits(path: Path, dataset: str, shape: Shape | None) -> bool:
    try:
        artifact: Artifact = model_file.read(path)
    except JaxgenError:
        return False
    same = artifact.fact("data.dataset", str) == canonical(dataset)
    return same and shape in (None, artifact.inference.image_shape)
