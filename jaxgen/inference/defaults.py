"""Extracting the defaults of a model file's inputs, because some runtimes silently turn such inputs into constants.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from jaxgen.inference.onnx_safety import DIMS, GRAPH, INITIALIZER, NAME, floats
from jaxgen.inference.protobuf import BYTES, VARINT, Field, WireError, fields

INPUT, OUTPUT = 11, 12  # of a graph
VALUE_NAME = 1  # of an input or output
TAG = b"\x3a"  # of a model's graph: field 7, length-delimited


class Required(NamedTuple):
    data: bytes  # the model, in which every input must be fed
    defaults: dict[str, np.ndarray]  # the removed defaults, float32, by name
    outputs: list[str]  # names of the outputs


def required(data: bytes) -> Required:
    """The same model without its defaults. Raises WireError on bytes that are no model, or a default that is not
    float32, as the contract requires."""
    graph = _only(data, 0, len(data), GRAPH, "graph")
    inputs, outputs = _names(data, graph, INPUT), _names(data, graph, OUTPUT)
    defaults: dict[str, np.ndarray] = {}
    kept, begin = bytearray(), graph.start
    for part in fields(data, graph.start, graph.end):
        if part.number == INITIALIZER:
            name = _text(data, _only(data, part.start, part.end, NAME, "name"))
            if name in inputs:
                defaults[name] = _default(data, part)
                begin = part.end
                continue
        kept += data[begin : part.end]  # with its tag, which starts at the end of the previous field
        begin = part.end
    before = max((field.end for field in fields(data, 0, len(data)) if field.end <= graph.start), default=0)
    return Required(b"".join((data[:before], TAG, varint(len(kept)), kept, data[graph.end :])), defaults, outputs)


def without_default(data: bytes) -> set[str]:
    """The names of the inputs that every run must feed. Raises WireError as `required` does."""
    graph = _only(data, 0, len(data), GRAPH, "graph")
    with_default = {
        _text(data, _only(data, part.start, part.end, NAME, "name"))
        for part in fields(data, graph.start, graph.end)
        if part.number == INITIALIZER
    }
    return set(_names(data, graph, INPUT)) - with_default


def _names(data: bytes, graph: Field, number: int) -> list[str]:
    """The names of a graph's inputs or outputs."""
    return [
        _text(data, _only(data, part.start, part.end, VALUE_NAME, "name"))
        for part in fields(data, graph.start, graph.end)
        if part.number == number
    ]


def _only(data: bytes, start: int, end: int, number: int, what: str) -> Field:
    """The one field of this number, which holds bytes; with two, readers might disagree on which counts."""
    matches = [field for field in fields(data, start, end) if field.number == number]
    if len(matches) != 1 or matches[0].wire != BYTES:
        raise WireError(f"expected one {what}, got {len(matches)}")
    return matches[0]


def _text(data: bytes, field: Field) -> str:
    return data[field.start : field.end].decode(errors="replace")


def _default(data: bytes, tensor: Field) -> np.ndarray:
    parts = list(fields(data, tensor.start, tensor.end))
    shape: list[int] = []
    for part in parts:
        if part.number == DIMS:  # repeated or packed
            shape += [part.value] if part.wire == VARINT else _varints(data, part)
    numbers = floats(data, parts)
    if numbers.size != math.prod(shape):
        raise WireError(f"a default has {numbers.size} numbers, its shape is {shape}")
    return numbers.reshape(shape)


def _varints(data: bytes, field: Field) -> list[int]:
    numbers, value, shift = [], 0, 0
    for byte in data[field.start : field.end]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    return numbers


def varint(value: int) -> bytes:
    """A protobuf varint: seven bits per byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])
