"""The decoder within a VAE's model file: latents to the means of pixels, before they are rounded to 256 levels."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen.inference import runtime as runtimes
from jaxgen.inference.defaults import OUTPUT, TAG, VALUE_NAME, varint
from jaxgen.inference.model import Model
from jaxgen.inference.onnx_safety import GRAPH
from jaxgen.inference.protobuf import BYTES, WireError, fields
from jaxgen.inference.runtime import How

INNER = "out"  # the value of exported graphs that is rounded to pixels, float32 [N, H, W, C] in [-1, 1]
FLOAT = b"\x12\x04\x0a\x02\x08\x01"  # the type of a value: a tensor of float32


class Decoder:
    """The same graph as the model's, with one output more. Raises JaxgenError if it has no such value inside, as a file
    that another tool rewrote may not."""

    def __init__(self, model: Model, **how: Unpack[How]) -> None:
        self._model = model
        path = model.artifact.path
        try:
            data = with_output(model.artifact.data, INNER)
            self._session = runtimes.load(replace(model.artifact, data=data), **how)
        except (WireError, JaxgenError) as err:
            raise JaxgenError(f"{path}: what its decoder gives before rounding is not to be found") from err

    def __call__(self, latents: np.ndarray, label: np.ndarray | None) -> np.ndarray:
        """Latents [N, D] and classes [N], None for unconditional models -> means of pixels in [0, 1], [N, H, W, C]
        float32."""
        index = np.arange(len(latents))
        feeds = self._model.feeds(np.zeros_like(index), index, label=label, latent=latents)
        (out,) = self._session.run([INNER], feeds)
        return (np.float32(1) + out) / np.float32(2)


def with_output(data: bytes, name: str) -> bytes:
    """The model with a value of its outermost graph, a float32 tensor, as its last output. Raises WireError on bytes
    that are no model; whether there is such a value, a runtime tells."""
    graphs = [field for field in fields(data, 0, len(data)) if field.number == GRAPH]
    if len(graphs) != 1 or graphs[0].wire != BYTES:
        raise WireError(f"expected one graph, got {len(graphs)}")
    graph, text = graphs[0], name.encode()
    value = bytes([VALUE_NAME << 3 | BYTES]) + varint(len(text)) + text + FLOAT
    output = bytes([OUTPUT << 3 | BYTES]) + varint(len(value)) + value
    before = max((field.end for field in fields(data, 0, len(data)) if field.end <= graph.start), default=0)
    size = varint(graph.end - graph.start + len(output))
    return b"".join((data[:before], TAG, size, data[graph.start : graph.end], output, data[graph.end :]))
