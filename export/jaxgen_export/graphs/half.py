"""Weights as float16 in a graph that computes in float32."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

LARGEST = float(np.finfo(np.float16).max)


def halved(core: ModelProto, weights: Iterable[np.ndarray]) -> ModelProto:
    """The network with its weights rounded to float16 and cast to float32 before they are used.

    Runtimes fold the casts when they load the graph. weights: those of the model; initializers of other numbers, which
    the exporter computed, stay as they are. A weight that was reshaped or transposed is rounded, too.
    """
    known = np.unique(np.concatenate([np.asarray(value, np.float32).ravel() for value in weights]))
    copy, tensors, casts = ModelProto(), [], []
    copy.CopyFrom(core)
    for tensor in core.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or not np.isin(values, known).all():
            tensors.append(tensor)
            continue
        if values.size == 1:  # a Cast would take more than it saves
            tensors.append(numpy_helper.from_array(values.astype(np.float16).astype(np.float32), tensor.name))
            continue
        tensors.append(numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.half"))
        casts.append(_cast(tensor.name))
    nodes = [*casts, *core.graph.node]
    del copy.graph.initializer[:], copy.graph.node[:]
    copy.graph.initializer.extend(tensors)
    copy.graph.node.extend(nodes)
    return copy


def _cast(name: str) -> NodeProto:
    return helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT)
