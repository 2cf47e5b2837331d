"""The folders of prepared datasets."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jaxgen.errors import JaxgenError
from jaxgen.files import cache_folder

PREPARED = "dataset_info.json"  # TFDS writes it last, into every folder of a prepared dataset


def user_folder(data_dir: Path | None) -> Path | None:
    """The user's folder, by argument or by JAXGEN_DATA_DIR, or None."""
    named = data_dir or os.environ.get("JAXGEN_DATA_DIR")
    return Path(named).expanduser() if named else None


def roots(data_dir: Path | None) -> list[Path]:
    """The folders that may hold prepared datasets, first choice first."""
    named = user_folder(data_dir)
    return [cache_folder()] if named is None else [named, cache_folder()]


def writable_root(name: str, data_dir: Path | None) -> Path:
    """The first writable root without a prepared dataset `name`, such as one in another format.

    Raises JaxgenError if there is none.
    """
    for root in roots(data_dir):
        if not any(_versions(root / name)) and _is_writable(root):
            return root
    tried = ", ".join(map(str, roots(data_dir)))
    raise JaxgenError(f"no writable folder for the prepared {name}: tried {tried}; pass a writable --data-dir")


def _is_writable(folder: Path) -> bool:
    """Whether the permission bits allow writing (root may write anyway) and a test file can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.stat().st_mode & 0o222:
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def find_prepared(name: str, data_dir: Path | None) -> Path | None:
    """The newest prepared array_record dataset `name` in the first root that has one, or None."""
    for root in roots(data_dir):
        folders = [folder for folder in _versions(root / name) if file_format(folder) == "array_record"]
        if folders:
            return max(folders, key=_version)
    return None


def _versions(folder: Path) -> Iterator[Path]:
    return (path.parent for path in folder.glob(f"*/{PREPARED}"))


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name.split(".") if part.isdigit())


def file_format(folder: Path) -> str:
    """The record format of the TFDS dataset in `folder`, 'tfrecord' by default.

    Raises JaxgenError if its description cannot be read.
    """
    path = folder / PREPARED
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("fileFormat", "tfrecord"))
    except (OSError, ValueError, AttributeError) as err:
        raise JaxgenError(
            f"{path}: not a description of a TFDS dataset ({err}); remove its folder and try again"
        ) from err
