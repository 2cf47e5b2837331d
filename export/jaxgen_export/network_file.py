"""The network alone as a file: one evaluation in plain float operators, for tools and runtimes without loops.

`jaxgen compose` puts the file that a tool makes of it back into the sampler; `jaxgen.inference.network.sample_with`
samples with it directly.
"""

from __future__ import annotations

import torch
from onnx import GraphProto, ModelProto, helper

from jaxgen_export.bundle import Bundle, example
from jaxgen_export.graphs import compose
from jaxgen_export.graphs.common import OPSET


def network_model(made: Bundle, output: str, batch: int | None = None) -> ModelProto:
    """The network of `made` as a separate graph; output: the name of its output; batch: the one size of a batch
    that it takes, None for any."""
    core = made.graph if batch is None else _of_one_batch(made, batch)
    graph = GraphProto()
    graph.CopyFrom(core.graph)
    graph.name = "network"
    _rename_output(graph, output)
    for value in [*graph.input, *graph.output]:
        first = value.type.tensor_type.shape.dim[0]
        if batch is None:
            first.dim_param = "N"
    # Drop the exporter's notes and its shapes of inner values: tools infer those themselves, and
    # onnxruntime's quantize_dynamic stops at shapes of weights that it has transposed.
    del graph.value_info[:], graph.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="jaxgen")


def _of_one_batch(made: Bundle, batch: int) -> ModelProto:
    rows = {name: torch.cat([value[:1]] * batch) for name, value in example(made.core, made.config).items()}
    unused = () if made.config.class_count else ("label",)
    return compose.export_core(made.module, rows, made.core.outputs, unused=unused, any_batch=False)


def _rename_output(graph: GraphProto, name: str) -> None:
    (output,) = graph.output
    for node in graph.node:
        node.input[:] = [name if value == output.name else value for value in node.input]
        node.output[:] = [name if value == output.name else value for value in node.output]
    output.name = name
