"""The graph of a model file: the twin's core through PyTorch's exporter, put into the text of the contract."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnx.inliner
import onnx.parser
import torch
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper
from torch import Tensor, nn

from jaxgen_export.graphs.common import OPSET


def export_core(
    module: nn.Module, example: Mapping[str, Tensor], outputs: Sequence[str], unused: Iterable[str] = ()
) -> ModelProto:
    """One network evaluation: the inputs of `example` [2, ...] by name and order -> `outputs`, for any batch.

    Sizes 0 and 1 would be taken for constants, so the example batch has 2. unused: inputs to leave out of the graph,
    which the module does not look at.
    """
    with _silenced():
        program = torch.onnx.export(
            module,
            tuple(example.values()),
            input_names=list(example),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in example),
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


def compose(text: str, core: ModelProto, defaults: Mapping[str, np.ndarray]) -> ModelProto:
    """The model that `text` describes, its node `Network` replaced by a core; defaults: of inputs, by name."""
    model = onnx.inliner.inline_local_functions(onnx.parser.parse_model(text))
    graph = next(graph for graph in _graphs(model.graph) if any(node.op_type == "Network" for node in graph.node))
    _splice(graph, core.graph)
    for name, value in defaults.items():
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _splice(graph: GraphProto, core: GraphProto) -> None:
    """Replace the node `Network` by the core's nodes, its weights in the same graph with them.

    In a loop's body there they must be: as initializers of the outer graph the layout optimiser of onnxruntime does not
    see them, and each step takes twice as long.
    """
    at = next(i for i, node in enumerate(graph.node) if node.op_type == "Network")
    network = graph.node[at]
    inputs = dict(zip((value.name for value in core.input), network.input, strict=True))
    outputs = dict(zip((value.name for value in core.output), network.output, strict=True))
    names = inputs | outputs
    inner = [_renamed(node, names) for node in core.node]
    before, after = list(graph.node[:at]), list(graph.node[at + 1 :])
    del graph.node[:]
    graph.node.extend([*before, *inner, *after])
    for tensor in core.initializer:
        copy = graph.initializer.add()
        copy.CopyFrom(tensor)
        copy.name = _inner(tensor.name)


def _renamed(node: NodeProto, names: dict[str, str]) -> NodeProto:
    """A copy whose values live under 'net/', but for the core's inputs and outputs."""

    def rename(values: Iterable[str]) -> list[str]:
        return [names.get(value, _inner(value)) if value else "" for value in values]

    copy = NodeProto()
    copy.CopyFrom(node)
    assert not any(a.HasField("g") for a in node.attribute), "the core holds a subgraph; rename inside it too"
    copy.input[:], copy.output[:] = rename(node.input), rename(node.output)
    copy.name = _inner(node.name)
    del copy.metadata_props[:]  # the exporter's notes name this machine's files
    copy.doc_string = ""
    return copy


def _inner(name: str) -> str:
    return f"net/{name}"


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """The exporter talks of its own progress and deprecations; its errors still come through."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
