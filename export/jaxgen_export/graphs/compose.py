"""The graph of a model file: a core by PyTorch's exporter, put into the text of the contract."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
import onnx.inliner
import onnx.parser
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from jaxgen_export.graphs.common import OPSET

if TYPE_CHECKING:
    from torch import Tensor, nn

DOMAIN = "jaxgen"  # of the calls in a text, none of which is left in a model
NETWORK = "Network"


def export_core(
    module: nn.Module,
    example: Mapping[str, Tensor],
    outputs: Sequence[str],
    unused: Iterable[str] = (),
    *,
    any_batch: bool = True,
) -> ModelProto:
    """One network evaluation: the inputs of `example` [2, ...] by name and order -> `outputs`, for any batch.

    Sizes 0 and 1 would be taken for constants, so the example batch has 2. unused: inputs to leave out of the graph,
    which the module does not look at; any_batch: False for a graph that takes the example's batch alone, whose shapes
    are then all numbers.
    """
    import torch  # imported here, since composing a graph does not need it

    with _silenced():
        program = torch.onnx.export(
            module,
            tuple(example.values()),
            input_names=list(example),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in example) if any_batch else None,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for value in [value for value in model.graph.input if value.name in unused]:
        model.graph.input.remove(value)
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def compose(text: str, core: ModelProto, defaults: Mapping[str, np.ndarray], opset: int = OPSET) -> ModelProto:
    """The model that `text` describes, its calls written out and its node `Network` replaced by a core.

    defaults: of inputs, by name; an input without one must be fed. opset: that of the core; what the texts use means
    the same from OPSET on. Every node has a name, and every tensor is stored as raw bytes, which more readers take than
    numbers in protobuf's fields.
    """
    model = onnx.parser.parse_model(text)
    calls = {function.name: _Body(function.input, function.output, function.node) for function in model.functions}
    held = set(_names(core.graph.initializer))  # some tools list weights among the inputs, too
    inputs = [name for name in _names(core.graph.input) if name not in held]
    calls[NETWORK] = _Body(inputs, _names(core.graph.output), core.graph.node, core.graph.initializer)
    for graph in reversed(list(graphs_of(model.graph))):  # inner ones first: nodes are copied with what is inside them
        _expand(graph, calls)
    for name, value in defaults.items():
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    del model.functions[:]
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", opset))
    for graph in graphs_of(model.graph):
        _tidy(graph)
    onnx.checker.check_model(model)
    return model


def without_defaults(model: ModelProto) -> ModelProto:
    """The same model, in which every input must be fed."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.initializer[:]
    inputs = _names(model.graph.input)
    copy.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name not in inputs)
    return copy


class _Body(NamedTuple):
    """The nodes that a call stands for, with the names of their inputs and outputs."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    nodes: Iterable[NodeProto]
    weights: Iterable[TensorProto] = ()


def _names(values: Iterable[ValueInfoProto] | Iterable[TensorProto]) -> list[str]:
    return [value.name for value in values]


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those within its nodes."""
    yield graph
    for node in graph.node:
        for inner in _bodies(node):
            yield from graphs_of(inner)


def _bodies(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs that a node holds: a loop's body, the branches of an If."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _expand(graph: GraphProto, calls: Mapping[str, _Body]) -> None:
    """Put each call's body in its place, and its weights into the same graph.

    The weights must be in the loop's body: onnxruntime's layout optimiser does not see initializers of the outer graph,
    and each step takes twice as long.
    """
    nodes = list(_written_out(graph.node, calls))
    for node in graph.node:
        if node.domain == DOMAIN:
            for tensor in calls[node.op_type].weights:
                copy = graph.initializer.add()
                copy.CopyFrom(tensor)
                copy.name = f"{_prefix(node)}/{tensor.name}"
                copy.doc_string = ""
                del copy.metadata_props[:]
    del graph.node[:]
    graph.node.extend(nodes)


def _written_out(nodes: Iterable[NodeProto], calls: Mapping[str, _Body]) -> Iterator[NodeProto]:
    """The nodes, each call replaced by its body's, and those calls by theirs.

    Inner values are named after the call: `noise/w0/a3` is the first word after round 3 of `w0` in `noise`.
    """
    for node in nodes:
        if node.domain != DOMAIN:
            yield node
            continue
        body = calls[node.op_type]
        names = dict(zip(body.inputs, node.input, strict=True)) | dict(zip(body.outputs, node.output, strict=True))
        yield from _written_out((_renamed(inner, names, _prefix(node)) for inner in body.nodes), calls)


def _prefix(call: NodeProto) -> str:
    return "net" if call.op_type == NETWORK else call.output[0]


def _renamed(node: NodeProto, names: Mapping[str, str], prefix: str) -> NodeProto:
    """A copy whose values get the prefix, but for those in `names`."""
    copy = NodeProto()
    copy.CopyFrom(node)
    _rename(copy, names, prefix)
    return copy


def _rename(node: NodeProto, names: Mapping[str, str], prefix: str) -> None:
    """Rename a node's values as `names` says, the others to 'prefix/...', in the graphs inside it too."""

    def inner(name: str) -> str:
        return names.get(name, f"{prefix}/{name}") if name else ""

    node.input[:], node.output[:] = map(inner, node.input), map(inner, node.output)
    node.name = f"{prefix}/{node.name}" if node.name else ""
    del node.metadata_props[:]  # the exporter's notes name this machine's files
    node.doc_string = ""
    for graph in _bodies(node):
        del graph.value_info[:]
        for within in graph.node:
            _rename(within, names, prefix)
        for value in [*graph.input, *graph.output, *graph.initializer]:
            value.name = inner(value.name)


def _tidy(graph: GraphProto) -> None:
    """Nodes without a name get their first output's; tensors become raw bytes."""
    for node in graph.node:
        node.name = node.name or node.output[0]
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _make_raw(attribute.t)
    for tensor in graph.initializer:
        _make_raw(tensor)


def _make_raw(tensor: TensorProto) -> None:
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Silence the exporter's progress and deprecation messages; its errors still come through."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
