"""Read graphs that other tools wrote; drop what does not matter and refuse in one line what jaxgen cannot use."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx.inliner
import onnx.version_converter
from onnx import ModelProto, NodeProto

from jaxgen.errors import JaxgenError, one_line
from jaxgen.inference.onnx_safety import outside_reference
from jaxgen_export.graphs.compose import graphs_of

OWN = ("", "ai.onnx")  # two spellings of ONNX's own domain
BASIC = "have onnxruntime write it with ORT_ENABLE_BASIC, the level that keeps to ONNX's operators"
# How to avoid operators, by the start of their name; the first that fits counts.
HINTS = {
    "com.microsoft.nchwc.": BASIC,
    "com.microsoft.Fused": BASIC,
    "com.microsoft.QLinear": "quantise with quant_format=QuantFormat.QDQ",
    "com.microsoft.QGemm": "quantise with quant_format=QuantFormat.QDQ",
    "com.microsoft.QuantizeLinear": "quantise without the extra option UseQDQContribOps",
    "com.microsoft.DequantizeLinear": "quantise without the extra option UseQDQContribOps",
    "com.microsoft.MatMulNBits": "quantise with quant_format=QuantFormat.QDQ",
    "com.microsoft.": f"quantise with quant_format=QuantFormat.QDQ, and {BASIC}",
}


def load(data: bytes, name: str) -> ModelProto:
    """The model with its local functions inlined and without the operator sets that no node uses.

    Raises JaxgenError if it is no ONNX model, keeps data in another file, or uses operators that are not ONNX's own.
    """
    try:
        model = onnx.load_from_string(data)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except Exception as err:  # protobuf has errors of its own, and so has the inliner
        raise JaxgenError(f"{name}: is no ONNX model, or is damaged: {one_line(err)}") from err
    if not model.graph.node:
        raise JaxgenError(f"{name}: is no ONNX model, or an empty one")
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in _nodes(model) if node.domain not in OWN})
    if foreign:
        hint = next((hint for start, hint in HINTS.items() if any(one.startswith(start) for one in foreign)), None)
        raise JaxgenError(
            f"{name}: uses operators that are not ONNX's own: {', '.join(foreign[:6])}"
            f"{' and others' if len(foreign) > 6 else ''}{f'; {hint}' if hint else ''}"
        )
    version = opset(model, name)
    del model.opset_import[:], model.training_info[:]
    model.opset_import.append(onnx.helper.make_opsetid("", version))
    complaint = outside_reference(model.SerializeToString())
    if complaint:
        raise JaxgenError(f"{name}: refused: {complaint}; save it whole, in one file")
    return model


def opset(model: ModelProto, name: str) -> int:
    """The version of ONNX's own operators in a model."""
    versions = [entry.version for entry in model.opset_import if entry.domain in OWN]
    if len(versions) != 1:
        raise JaxgenError(f"{name}: expected one version of ONNX's operators, got {versions}")
    return versions[0]


def at_opset(model: ModelProto, want: int, name: str) -> ModelProto:
    """The model converted to operators of version `want`, or unchanged if they are newer and cannot be converted.

    Raises JaxgenError if they are older and cannot be converted.
    """
    version = opset(model, name)
    if version == want:
        return model
    try:
        return onnx.version_converter.convert_version(model, want)
    except Exception as err:  # the converter is C++ and raises what it likes
        if version > want:
            return model
        raise JaxgenError(
            f"{name}: its operators are of version {version}, and onnx cannot bring them to {want}: {one_line(err)}; "
            f"write it with opset {want}"
        ) from err


def producer(model: ModelProto) -> str:
    """The name and version of the tool that wrote a model."""
    return " ".join(filter(None, (model.producer_name, model.producer_version)))[:100] or "a tool that gives no name"


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    for graph in graphs_of(model.graph):
        yield from graph.node
