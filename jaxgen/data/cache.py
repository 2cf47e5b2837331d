"""Where datasets are looked for, and where prepared ones are put."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jaxgen.errors import JaxgenError
from jaxgen.files import cache_folder

PREPARED = "dataset_info.json"  # TFDS writes it last, into every folder that holds a prepared set


def user_folder(data_dir: Path | None) -> Path | None:
    """The folder the user named, by argument or by JAXGEN_DATA_DIR; None: neither."""
    named = data_dir or os.environ.get("JAXGEN_DATA_DIR")
    return Path(named).expanduser() if named else None


def roots(data_dir: Path | None) -> list[Path]:
    """Where prepared sets may lie, first choice first."""
    named = user_folder(data_dir)
    return [cache_folder()] if named is None else [named, cache_folder()]


def writable_root(name: str, data_dir: Path | None) -> Path:
    """The first root that can be written to and holds no prepared set called `name` (in another format, say).

    Raises JaxgenError if there is none.
    """
    for root in roots(data_dir):
        if not any(_versions(root / name)) and _is_writable(root):
            return root
    tried = ", ".join(map(str, roots(data_dir)))
    raise JaxgenError(f"nowhere to put the prepared {name}: tried {tried}; pass --data-dir with a folder to write to")


def _is_writable(folder: Path) -> bool:
    """Meant to be written to, by its permission bits (root may write anyway), and able to be, by trying."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.stat().st_mode & 0o222:
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def find_prepared(name: str, data_dir: Path | None) -> Path | None:
    """The newest prepared array_record set called `name` in the first root that has one; None: there is none."""
    for root in roots(data_dir):
        found = [folder for folder in _versions(root / name) if file_format(folder) == "array_record"]
        if found:
            return max(found, key=_version)
    return None


def _versions(folder: Path) -> Iterator[Path]:
    return (path.parent for path in folder.glob(f"*/{PREPARED}"))


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name.split(".") if part.isdigit())


def file_format(folder: Path) -> str:
    """The record format of the TFDS set in `folder`, 'tfrecord' where it does not say.

    Raises JaxgenError if its description cannot be read.
    """
    path = folder / PREPARED
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("fileFormat", "tfrecord"))
    except (OSError, ValueError, AttributeError) as err:
        raise JaxgenError(f"{path}: not a description of a TFDS set ({err}); remove its folder and try again") from err
