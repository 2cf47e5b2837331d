"""parquet:PATH, tables of encoded images, as Hugging Face keeps datasets: an image is {bytes, path}, or bytes alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data.forms import encoded, tables
from jaxgen.data.forms.encoded import Encoded
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.errors import JaxgenError, UsageError, extra, lookup, one_line

LABELS = ("label", "labels", "class", "target", "fine_label", "y")


def opened(path: Path, options: Options) -> Opened:
    if not path.exists():
        raise UsageError(f"parquet:{path}: there is no such file or folder")
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise JaxgenError(f"{path}: no .parquet here")
    parts, names = {}, None
    for split, several in tables.split_files(files, path).items():
        shards = [_read(file, options) for file in several]
        names = names or next((shard.names for shard in shards if shard.names), None)
        parts[split] = _joined(shards)
    return encoded.opened(parts, str(path), options, names)


class Shard:
    """A file: its images, and their labels if it has any. names: of classes, whose numbers the labels then are."""

    def __init__(self, path: Path, images: Any, labels: np.ndarray | None, names: list[str] | None) -> None:
        self.path, self.images, self.labels, self.names = path, images, labels, names

    def read(self, row: int) -> bytes | Path:
        value = self.images[row].as_py()
        if isinstance(value, dict):
            if value.get("bytes") is None and value.get("path"):
                return self.path.parent / value["path"]
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise JaxgenError(f"{self.path}, row {row}: there is no image")
        return value


def _read(path: Path, options: Options) -> Shard:
    with extra("parquet"):
        import pyarrow as pa
        from pyarrow import parquet
    try:
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        features = _features(schema.metadata)
        columns = {name: schema.field(name).type for name in schema.names}
        image = options.images or _image_column(columns, features, path)
        lookup(columns, image, f"column of {path}")
        label = None if options.labels == "none" else options.labels or next((n for n in LABELS if n in columns), None)
        if label:
            lookup(columns, label, f"column of {path}")
        table = file.read(columns=[image, *([label] if label else [])])
    except (OSError, pa.ArrowException) as err:
        raise JaxgenError(f"{path}: cannot be read as Parquet ({one_line(err)})") from err
    names = features.get(label or "", {}).get("names")
    labels = np.array(table.column(label).to_pylist()) if label else None
    return Shard(path, table.column(image), labels, [str(name) for name in names] if isinstance(names, list) else None)


def _features(metadata: Mapping[bytes, bytes] | None) -> dict[str, dict[str, Any]]:
    """What Hugging Face's `datasets` says of the columns; {} in other files."""
    try:
        found = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}


def _image_column(columns: Mapping[str, Any], features: Mapping[str, Any], path: Path) -> str:
    """The one column of images, by what the file says of it, or else by its type."""
    from pyarrow import types

    said = [name for name in columns if features.get(name, {}).get("_type") == "Image"]
    binary = [
        name for name, kind in columns.items()
        if types.is_binary(kind) or types.is_large_binary(kind)
        or (types.is_struct(kind) and kind.get_field_index("bytes") >= 0)
    ]  # fmt: skip
    found = said or binary
    if len(found) != 1:
        raise UsageError(f"{path}: its columns are {', '.join(columns)}; name that of the images: data.images=COLUMN")
    return found[0]


def _joined(shards: Sequence[Shard]) -> Encoded:
    """The images of several files, one after the other."""
    places = [(shard, row) for shard in shards for row in range(len(shard.images))]
    labels = [shard.labels for shard in shards if shard.labels is not None]
    return Encoded(
        [f"{shard.path}, row {row}" for shard, row in places],
        lambda number: places[number][0].read(places[number][1]),
        np.concatenate(labels) if len(labels) == len(shards) else None,
    )


FORM = Form(
    words="tables of encoded images, as Hugging Face keeps them", open=opened,
    options=frozenset({"images", "labels", "white"}),
)  # fmt: skip
