"""ONNX files of a few nodes, with whatever a test wants in them, and stamps as a forger would make them."""

import hashlib
import re

import onnx
import pytest
from onnx import TensorProto, helper

from jaxgen.errors import JaxgenError
from jaxgen.inference.model_file import dump_manifest, parse

FLOAT = TensorProto.FLOAT
ONNX_18 = helper.make_opsetid("", 18)
INFERENCE = {"kind": "classifier", "image_shape": [8, 8, 1], "classes": ["null", "eins"]}
MANIFEST = {"inference": INFERENCE, "config": {"name": "tiny", "data": {"size": 8}}}


def value(name: str, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [])


def tensor(name: str = "w", number: float = 1.0) -> TensorProto:
    return helper.make_tensor(name, FLOAT, [], [number])


def model(nodes=(), initializers=(), opsets=(ONNX_18,), **fields) -> onnx.ModelProto:
    """x + w, besides what is given."""
    nodes = [helper.make_node("Add", ["x", "w"], ["y"]), *nodes]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], [tensor(), *initializers])
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **fields)


def serialized(proto: onnx.ModelProto, manifest: str | None = None) -> bytes:
    """The model with its manifest, not yet stamped."""
    stated = onnx.ModelProto()
    stated.CopyFrom(proto)
    stated.metadata_props.add(key="jaxgen", value=dump_manifest(MANIFEST) if manifest is None else manifest)
    return stated.SerializeToString()


def restamp(data: bytes) -> bytes:
    """As a forger would stamp: independently of the code under test, and without any of its checks."""
    found = re.search(rb'"sha256": "(.{64})"', data, re.DOTALL)
    if not found:
        return data
    zeroed = data[: found.start(1)] + b"0" * 64 + data[found.end(1) :]
    return data[: found.start(1)] + hashlib.sha256(zeroed).hexdigest().encode() + data[found.end(1) :]


def forged(proto: onnx.ModelProto, manifest: str | None = None) -> bytes:
    return restamp(serialized(proto, manifest))


def body(*nodes, initializers=(), name="body") -> onnx.GraphProto:
    """A subgraph without inputs, as the branches of If are."""
    return helper.make_graph(list(nodes), name, [], [value("out")], list(initializers))


def branching(graph: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=body(constant(tensor())))


def constant(held: TensorProto, **attributes) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["out"], value=held, **attributes)


def looping(graph: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("Loop", ["n", "c"], ["z"], body=graph)


def external(location: str | None = "secret.bin") -> TensorProto:
    held = tensor("e")
    held.data_location = TensorProto.EXTERNAL
    if location:
        held.external_data.add(key="location", value=location)
    return held


def sparse(held: TensorProto, at: str = "values") -> onnx.SparseTensorProto:
    proto = onnx.SparseTensorProto(dims=[4])
    getattr(proto, at).CopyFrom(held)
    return proto


def refusal(data: bytes) -> str:
    with pytest.raises(JaxgenError) as caught:
        parse(data, "some/model.onnx")
    message = str(caught.value)
    assert message.startswith("some/model.onnx: ") and "\n" not in message
    return message


def wire(number: int, payload: bytes | int) -> bytes:
    """One protobuf field, written by hand."""
    tag = number << 3 | (0 if isinstance(payload, int) else 2)
    return varint(tag) + (varint(payload) if isinstance(payload, int) else varint(len(payload)) + payload)


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])
