"""tar:PATH, image files in a tar or in several (shards), which are read where they lie.

As in a WebDataset, files of one name are one example: 000017.png with 000017.cls, or with a 000017.json that has a
label. Without these, folders are classes or splits, as on the disk.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from jaxgen.data.forms import encoded, tables
from jaxgen.data.forms.encoded import Encoded
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.data.forms.zip_files import MAX_BYTES, of_entries
from jaxgen.data.image_files import endings, is_shown
from jaxgen.errors import JaxgenError, UsageError, one_line

LABEL_KEYS = ("cls", "label", "class")  # of the ending of a file, or in a JSON
ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class Shard:
    """A tar: its files by name. Of a compressed one the contents are kept in memory, as it can only be read in turn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[PurePosixPath, tuple[int, int] | bytes] = {}  # its begin and length, or its content
        try:
            with path.open("rb") as file, tarfile.open(fileobj=file) as tar:
                plain = tar.fileobj is file
                for info in tar:
                    if not info.isreg():
                        continue
                    if info.size > MAX_BYTES:
                        raise JaxgenError(f"{path}/{info.name}: {info.size:,} bytes are too many")
                    content = None if plain and not info.issparse() else tar.extractfile(info)
                    place = (info.offset_data, info.size) if content is None else content.read()
                    self.entries[PurePosixPath(info.name)] = place
        except (OSError, EOFError, tarfile.TarError, zlib.error) as err:
            raise JaxgenError(f"{path}: cannot be read as a tar ({one_line(err)})") from err

    def read(self, name: PurePath) -> bytes:
        """The content of a file, from any thread."""
        place = self.entries[PurePosixPath(name)]
        if isinstance(place, bytes):
            return place
        try:
            with self.path.open("rb") as file:
                file.seek(place[0])
                return file.read(place[1])
        except OSError as err:
            raise JaxgenError(f"{self.path}/{name}: cannot be read ({one_line(err)})") from err


def opened(path: Path, options: Options) -> Opened:
    if not path.exists():
        raise UsageError(f"tar:{path}: there is no such file or folder")
    files = sorted(file for file in path.iterdir() if is_tar(file)) if path.is_dir() else [path]
    if not files:
        raise JaxgenError(f"{path}: no tar here")
    shards = {split: [Shard(file) for file in part] for split, part in tables.split_files(files, path).items()}
    every = [shard for part in shards.values() for shard in part]
    keys = {options.labels, "json", *LABEL_KEYS}
    if any(_example(name)[1] in keys for shard in every for name in shard.entries):
        return _examples(path, shards, options)
    if len(every) > 1:
        raise UsageError(f"{path}: several tars without labels of examples (.cls or .json); name one of them")
    return of_entries(path, list(every[0].entries), every[0].read, options)


def is_tar(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and path.is_file()


def _example(name: PurePosixPath) -> tuple[str, str]:
    """The key of the example that a file belongs to, and its ending: ('dir/000017', 'png')."""
    stem, _, ending = name.name.partition(".")
    return str(name.parent / stem), ending.lower()


def _examples(path: Path, shards: dict[str, list[Shard]], options: Options) -> Opened:
    parts, passed_over = {}, {}
    for split, several in shards.items():
        places: list[tuple[Shard, PurePosixPath]] = []
        labels: list[str | None] = []
        for shard in several:
            for key, files in _grouped(shard).items():
                image = next((name for ending, name in files.items() if _is_image(ending)), None)
                if image is None:
                    passed_over[f"{shard.path}/{key}"] = "an example without an image that can be read here"
                    continue
                places.append((shard, image))
                labels.append(None if options.labels == "none" else _label(shard, files, options.labels))
        if len(missing := [place for place, label in zip(places, labels, strict=True) if label is None]) < len(places):
            _require_labels(path, missing, options.loose)
            passed_over |= {f"{shard.path}/{name}": "it has no label" for shard, name in missing}
            places = [place for place, label in zip(places, labels, strict=True) if label is not None]
        known = [label for label in labels if label is not None]
        parts[split] = Encoded(
            [f"{shard.path}/{name}" for shard, name in places],
            partial(_read, places),
            np.array(known) if known else None,
        )
    return encoded.opened(parts, str(path), options, passed_over=passed_over)


def _read(places: Sequence[tuple[Shard, PurePosixPath]], row: int) -> bytes:
    shard, name = places[row]
    return shard.read(name)


def _grouped(shard: Shard) -> dict[str, dict[str, PurePosixPath]]:
    """The files of each example by their endings."""
    groups: dict[str, dict[str, PurePosixPath]] = {}
    for name in shard.entries:
        if is_shown(name):
            key, ending = _example(name)
            groups.setdefault(key, {})[ending] = name
    return groups


def _is_image(ending: str) -> bool:
    return f".{ending.rpartition('.')[2]}" in endings()


def _label(shard: Shard, files: dict[str, PurePosixPath], given: str) -> str | None:
    """The label of an example, as text; None if it has none. given: the ending of its file, or the key in its JSON."""
    keys = (given,) if given else LABEL_KEYS
    for key in keys:
        if key in files:
            return shard.read(files[key]).decode("utf-8", "replace").strip()
    if "json" not in files:
        return None
    try:
        values = json.loads(shard.read(files["json"]))
    except ValueError as err:
        raise JaxgenError(f"{shard.path}/{files['json']}: is no JSON ({one_line(err)})") from err
    found = [values[key] for key in keys if isinstance(values, dict) and isinstance(values.get(key), int | str)]
    return str(found[0]) if found else None


def _require_labels(path: Path, missing: Sequence[tuple[Shard, PurePosixPath]], loose: str) -> None:
    if missing and loose == "refuse":
        raise UsageError(
            f"{path}: {len(missing):,} examples have no label, and others have ({missing[0][1]}, ...); leave them out: "
            "--set data.loose=ignore, or ?loose=ignore after the path"
        )


FORM = Form(
    words="a tar of image files, or a WebDataset's tars", open=opened, options=frozenset({"labels", "loose", "white"})
)
