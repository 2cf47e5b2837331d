"""idx:PATH, files in the format of MNIST: a folder of them, or one of images with its siblings."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np

from jaxgen.data import idx
from jaxgen.data.forms import splits, tables
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.data.forms.tables import Part
from jaxgen.errors import JaxgenError, UsageError

# 'emnist-letters-train-images-idx3-ubyte.gz': prefix, split, kind
NAME = re.compile(r"(?P<prefix>.*?)(?P<split>train|t10k|test|val)?-?(?P<kind>images|labels)[-.]idx\d-\w+(\.gz)?")


def opened(path: Path, options: Options) -> Opened:
    if not path.exists():
        raise UsageError(f"idx:{path}: there is no such file or folder")
    folder = path if path.is_dir() else path.parent
    found = {file: match for file in sorted(folder.iterdir()) if (match := NAME.fullmatch(file.name))}
    prefixes = {match["prefix"] for match in found.values()}
    if path.is_file():
        if path not in found:
            return tables.opened({"train": Part(_read(path), None)}, str(path), options)
        prefixes = {found[path]["prefix"]}
    if len(prefixes) > 1:
        raise UsageError(f"{path}: holds several sets of IDX files ({', '.join(sorted(prefixes))}); name a file of one")
    files: dict[str, dict[str, Path]] = {"images": {}, "labels": {}}
    for file, match in found.items():
        if match["prefix"] in prefixes:  # of a raw file and a .gz, the first
            files[match["kind"]].setdefault(splits.WORDS.get(match["split"] or "train", "train"), file)
    if not files["images"]:
        raise JaxgenError(f"{path}: no IDX files of images here (looked for names such as {idx.STEMS[0]})")
    labels = {} if options.labels == "none" else files["labels"]
    parts = {
        split: Part(_read(file), _read(labels[split]) if split in labels else None)
        for split, file in files["images"].items()
    }
    return tables.opened(parts, str(path), options)


def is_idx(path: Path) -> bool:
    """Whether a file is in this format, or a folder holds some by its names."""
    if path.is_dir():
        return any(NAME.fullmatch(file.name) for file in path.iterdir())
    head = unpacked_head(path, 4)
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in idx.TYPES and 0 < head[3] < 5


def unpacked_head(path: Path, count: int) -> bytes:
    """The first bytes of a file, of what it holds if it is gzip; b"" if it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(count)
            if head[:2] != b"\x1f\x8b":
                return head
        with gzip.open(path) as stream:
            return stream.read(count)
    except (OSError, EOFError, zlib.error):
        return b""


def _read(path: Path) -> np.ndarray:
    return idx.parse(idx.read(path), str(path))


FORM = Form(
    words="files in MNIST's format", open=opened, options=frozenset({"labels", "transpose", "white"})
)  # fmt: skip
