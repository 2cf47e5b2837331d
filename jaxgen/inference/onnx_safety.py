"""What jaxgen asks of an ONNX file before it runs, answered from the bytes: the base install has no onnx package.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jaxgen.inference.protobuf import BYTES, MAX_FIELDS, VARINT, Field, WireError, fields, walk

# Which fields of which message hold messages: enough to reach every tensor, node, operator set and function.
SCHEMA: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 8: "operator set", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
GRAPH, METADATA, FUNCTION = 7, 14, 25  # of a model
DOMAIN = {"operator set": 1, "node": 7}
INITIALIZER = 5  # of a graph
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 1, 2, 4, 8, 9, 13, 14  # of a tensor
FLOAT = 1  # a data type

DOMAINS = (b"", b"ai.onnx")  # two spellings of ONNX's own
ORT_MAGIC = b"ORTM"  # at offset 4


def metadata_spans(data: bytes, key: bytes) -> list[tuple[int, int]]:
    """Where the values of the metadata entries with this key lie: data[start:end] of each, in file order.

    Raises WireError if the outermost message is malformed or holds no graph, so that it is no ONNX model.
    """
    spans, has_graph = [], False
    for count, field in enumerate(fields(data, 0, len(data))):
        if count == MAX_FIELDS:
            raise WireError(f"more than {MAX_FIELDS} fields")
        has_graph |= field.number == GRAPH and field.wire == BYTES
        if field.number == METADATA:
            name, value = _entry(data, field)
            if data[name.start : name.end] == key:
                spans.append((value.start, value.end))
    if not has_graph:
        raise WireError("it holds no graph")
    return spans


def _entry(data: bytes, field: Field) -> tuple[Field, Field]:
    """The key and the value of a metadata entry, each there once: of two, readers might disagree on which counts."""
    parts: dict[int, Field] = {}
    if field.wire == BYTES:
        for part in fields(data, field.start, field.end):
            if part.number not in (1, 2) or part.number in parts or part.wire != BYTES:
                raise WireError("a metadata entry is no pair of key and value")
            parts[part.number] = part
    if len(parts) != 2:
        raise WireError("a metadata entry is no pair of key and value")
    return parts[1], parts[2]


def outside_reference(data: bytes) -> str | None:
    """The first thing in a model that reaches outside the file and ONNX's own operators, in words; None: nothing does.

    That is tensor data in another file, an operator set or a node of a domain that is not ONNX's, a local function,
    anywhere: subgraphs, sparse tensors, attributes and training graphs included.
    Raises WireError on malformed bytes.
    """
    if data[4:8] == ORT_MAGIC:  # a protobuf can have these bytes there, and onnxruntime would not read it as one
        return "onnxruntime would take it for a model of its own format"
    for kind, field in walk(data, SCHEMA, "model"):
        complaint = _complaint(data, kind, field)
        if complaint:
            return complaint
    return None


def float_initializer(data: bytes, name: str) -> np.ndarray | None:
    """The numbers that an initializer of the outermost graph holds, as one float32 row; None: there is no such.

    Raises WireError on malformed bytes.
    """
    for graph in fields(data, 0, len(data)):
        if graph.number != GRAPH or graph.wire != BYTES:
            continue
        for tensor in fields(data, graph.start, graph.end):
            if tensor.number == INITIALIZER and tensor.wire == BYTES:
                parts = list(fields(data, tensor.start, tensor.end))
                if any(p.number == NAME and data[p.start : p.end] == name.encode() for p in parts):
                    return floats(data, parts)
    return None


def floats(data: bytes, parts: Sequence[Field]) -> np.ndarray:
    """The numbers of a tensor with these fields, as one float32 row.

    They may be raw data, or packed or single numbers: the ways in which a float tensor is written. Raises WireError on
    a tensor of another type.
    """
    if not any(part.number == DATA_TYPE and part.value == FLOAT for part in parts):
        raise WireError("an initializer holds no floats")
    held = [part for part in parts if part.number in (RAW_DATA, FLOAT_DATA)]
    content = b"".join(data[part.start : part.end] for part in held)
    if len(content) % 4:
        raise WireError("an initializer's floats are cut off")
    return np.frombuffer(content, "<f4").astype(np.float32)


def _complaint(data: bytes, kind: str, field: Field) -> str | None:
    if kind == "tensor" and field.number == EXTERNAL_DATA:
        return "it keeps tensor data in another file (external data)"
    if kind == "tensor" and field.number == DATA_LOCATION and (field.wire != VARINT or field.value != 0):
        return "it keeps tensor data in another file (external data)"
    if kind == "model" and field.number == FUNCTION:
        return "it defines functions of its own"
    if DOMAIN.get(kind) == field.number:
        if field.wire != BYTES:
            raise WireError(f"the domain of a {kind} is no text")
        domain = data[field.start : field.end]
        if domain not in DOMAINS:
            return f"it uses operators of the domain {domain[:60].decode(errors='replace')!a}"
    return None
