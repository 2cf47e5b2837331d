"""onnx.reference, the standard's own evaluator in NumPy: ten to a hundred times slower, without compiled code.

It runs in one thread (NumPy may use more for a matrix product), and can be stopped between the rows of a plan.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from jaxgen.errors import JaxgenError, extra, one_line
from jaxgen.inference.defaults import required
from jaxgen.inference.outside import Outside, require_one_thread
from jaxgen.inference.session import Feeds, Session, Threaded

NAME = "reference"


def load(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    spin: bool = True,
    provider: str | None = None,
) -> Session:
    """Raises JaxgenError if the evaluator lacks an operator, UsageError for more than one thread."""
    require_one_thread(threads, NAME)
    with extra("export"):
        import onnx
        from onnx.reference import ReferenceEvaluator

    model, defaults, _ = required(data)  # it supports defaults, but the default plan must be split like any other
    try:
        proto = onnx.load_from_string(model)
        evaluator = ReferenceEvaluator(proto)
    except Exception as err:
        raise JaxgenError(f"{path}: {NAME} cannot load it: {one_line(err)}") from err

    def infer(outputs: Sequence[str], feeds: Feeds) -> list[np.ndarray]:
        return cast("list[np.ndarray]", evaluator.run(list(outputs), dict(feeds)))

    graph = proto.graph
    inputs, outputs = ({port.name: _shape(port) for port in ports} for ports in (graph.input, graph.output))
    return Threaded(path, NAME, inputs, outputs, Outside(infer, defaults))


def _shape(port: Any) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in port.type.tensor_type.shape.dim]
