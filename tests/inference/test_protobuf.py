"""Bytes that readers of protobuf could take in two ways, that nest too deep, or that chance has changed."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_files import (
    body,
    branching,
    constant,
    looping,
    model,
    refusal,
    restamp,
    serialized,
    sparse,
    tensor,
    varint,
    wire,
)

from jaxgen.errors import JaxgenError
from jaxgen.inference import protobuf
from jaxgen.inference.model_file import Artifact, parse


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (wire(7, wire(5, wire(14, 1))), "tensor data in another file"),  # a second graph: protobuf merges the two
        (wire(7, wire(5, wire(14, 2**32 + 1))), "tensor data in another file"),  # an enum has 32 bits: reads as 1
        (wire(7, wire(5, wire(14, 1) + wire(14, 0))), "tensor data in another file"),
        (wire(7, wire(1, wire(7, b"evil") + wire(7, b""))), "operators of the domain"),
        (wire(7, wire(1, wire(7, 1))), "damaged (the domain of a node is no text)"),
        (wire(7, 1), "damaged (field 7 of a model is no message)"),
        (wire(14, 1), "damaged (a metadata entry"),
        (wire(7, wire(5, wire(14, b""))), "tensor data in another file"),
        (wire(7, b"\x12\x03") + wire(2, b"abc"), "damaged (a field runs past"),  # past the graph, not past the file
        (wire(7, b"\x10\x80") + wire(2, b"abc"), "damaged (a number"),
        (wire(14, wire(1, b"k")), "damaged (a metadata entry"),
        (wire(14, wire(2, b"v")), "damaged (a metadata entry"),
        (wire(14, wire(1, b"k") + wire(1, b"jaxgen") + wire(2, b"{}")), "damaged (a metadata entry"),
        (b"\x0b\x0c", "damaged (wire type 3)"),  # a group
        (b"\x00\x00", "damaged (field number 0)"),
        (b"\x80\x80\x80\x80\x10\x00", "damaged (field number"),  # 2^29
        (b"\x08" + b"\xff" * 9 + b"\x02", "damaged (a number"),  # 65 bits
        (b"\x08" + b"\x80" * 10 + b"\x00", "damaged (a number"),
        (b"\x0d\x00", "damaged (a field runs past"),
    ],
)
def test_field_that_readers_could_take_in_two_ways_is_refused(field, message):
    assert message in refusal(restamp(serialized(model()) + field))


def test_fixed_size_fields_are_stepped_over():
    alpha = helper.make_node("LeakyRelu", ["x"], ["z"], alpha=0.5)  # 4 bytes, in the middle of a message
    eight = varint(99 << 3 | 1) + bytes(8)
    parse(restamp(serialized(model([alpha])) + eight + wire(2, b"me") + eight), "m")


def test_deep_nesting_is_refused_without_recursion():
    graph = b""
    for _ in range(20_000):
        graph = wire(1, wire(5, wire(6, graph)))
    assert "more than 100 messages inside one another" in refusal(restamp(serialized(model()) + wire(7, graph)))


def test_more_fields_than_any_model_has_are_refused(monkeypatch):
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 1000)
    monkeypatch.setattr("jaxgen.inference.onnx_safety.MAX_FIELDS", 1000)
    parse(restamp(serialized(model()) + wire(7, b"\x10\x00" * 900)), "m")
    assert "more than 1000 fields" in refusal(restamp(serialized(model()) + wire(7, b"\x10\x00" * 1000)))
    assert "more than 1000 fields" in refusal(model().SerializeToString() + b"\x10\x00" * 1000)


def everything() -> bytes:
    """A model with something in every place that the checks look at."""
    proto = model([looping(body(branching(body(constant(tensor()))))), helper.make_node("X", [], [], g=[body()])])
    proto.graph.sparse_initializer.append(sparse(tensor()))
    proto.training_info.add().algorithm.CopyFrom(body(constant(tensor())))
    proto.metadata_props.add(key="k", value="v")
    return serialized(proto)


def reaches_outside(proto) -> bool:
    """The same question put to protobuf's own reflection."""
    if isinstance(proto, TensorProto) and (proto.data_location != TensorProto.DEFAULT or proto.external_data):
        return True
    if isinstance(proto, onnx.NodeProto | onnx.OperatorSetIdProto) and proto.domain not in ("", "ai.onnx"):
        return True
    if isinstance(proto, onnx.FunctionProto):
        return True
    children = []
    for field, found in proto.ListFields():
        if field.message_type:
            children += found if isinstance(found, list) or hasattr(found, "append") else [found]
    return any(map(reaches_outside, children))


def mutations(data: bytes, count: int):
    rng = np.random.default_rng(3)
    for _ in range(count):
        bad = bytearray(data)
        for at in rng.integers(0, len(bad), rng.integers(1, 5)):
            choice = rng.integers(4)
            if choice == 0:
                bad[at % len(bad)] = rng.integers(256)
            elif choice == 1:
                bad[at % len(bad)] ^= 1 << rng.integers(8)
            elif choice == 2:
                del bad[at : at + rng.integers(1, 9)]
            else:
                bad[at:at] = rng.bytes(rng.integers(1, 9))
        yield bytes(bad)


def test_mutated_files_are_refused_or_harmless_and_never_crash():
    accepted = refused = 0
    for bad in map(restamp, mutations(everything(), 20_000)):
        try:
            artifact = parse(bad, "m")
        except JaxgenError as err:
            assert "\n" not in str(err)
            refused += 1
            continue
        assert isinstance(artifact, Artifact)
        accepted += 1
        try:
            proto = onnx.load_model_from_string(bad)
        except Exception:  # stricter than we are; so is onnxruntime
            continue
        assert not reaches_outside(proto)
    assert accepted > 500 and refused > 5000


def test_random_bytes_never_crash():
    rng = np.random.default_rng(4)
    for size in rng.integers(0, 200, 5000):
        refusal(rng.bytes(size))
