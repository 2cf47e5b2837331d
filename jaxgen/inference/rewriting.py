"""Rewriting parts of a model file's bytes, without onnx: its manifest, and a default that its graph holds.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxgen.inference.defaults import varint
from jaxgen.inference.model_file import KEY, dump_manifest, stamp
from jaxgen.inference.onnx_safety import (
    DATA_TYPE,
    DIMS,
    FLOAT,
    GRAPH,
    INITIALIZER,
    METADATA,
    NAME,
    RAW_DATA,
    metadata_spans,
)
from jaxgen.inference.protobuf import BYTES, VARINT, Field, WireError, fields


def with_manifest(data: bytes, manifest: Mapping[str, Any]) -> bytes:
    """The same model with this manifest in place of its own, stamped. Raises WireError on bytes that are no model."""
    ((start, _),) = metadata_spans(data, KEY.encode())
    others = [whole for field, whole in _split(data, 0, len(data)) if not field.start <= start < field.end]
    entry = _message(METADATA, [_message(1, [KEY.encode()]), _message(2, [dump_manifest(manifest).encode()])])
    return stamp(b"".join([*others, entry]))


def with_default(data: bytes, name: str, values: np.ndarray) -> bytes:
    """The same model with other values, float32, in an initializer of its graph; unchanged if it has no such.

    Its hash is then wrong. Raises WireError on bytes that are no model.
    """
    tensor = _tensor(name, values)
    parts = []
    for field, whole in _split(data, 0, len(data)):
        if field.number == GRAPH and field.wire == BYTES:
            graph = [
                tensor if _is_initializer(data, inner, name) else content
                for inner, content in _split(data, field.start, field.end)
            ]
            whole = _message(GRAPH, graph)
        parts.append(whole)
    return b"".join(parts)


def _is_initializer(data: bytes, field: Field, name: str) -> bool:
    if field.number != INITIALIZER:
        return False
    if field.wire != BYTES:
        raise WireError("an initializer is no message")
    parts = fields(data, field.start, field.end)
    return any(part.number == NAME and data[part.start : part.end] == name.encode() for part in parts)


def _tensor(name: str, values: np.ndarray) -> bytes:
    shape = [varint(DIMS << 3 | VARINT) + varint(size) for size in values.shape]
    kind = varint(DATA_TYPE << 3 | VARINT) + varint(FLOAT)
    content = _message(RAW_DATA, [values.astype("<f4").tobytes()])
    return _message(INITIALIZER, [*shape, kind, _message(NAME, [name.encode()]), content])


def _split(data: bytes, start: int, end: int) -> Iterator[tuple[Field, bytes]]:
    """Each field of the message in data[start:end] with all its bytes, which start at the end of the previous field."""
    for field in fields(data, start, end):
        yield field, data[start : field.end]
        start = field.end


def _message(number: int, parts: list[bytes]) -> bytes:
    """A length-delimited field: tag, length, content."""
    content = b"".join(parts)
    return varint(number << 3 | BYTES) + varint(len(content)) + content
