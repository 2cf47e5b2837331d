"""OpenVINO, for Intel's and other CPUs. Workarounds for silent errors of version 2026.4:

- inputs with a default become constants: the defaults are removed from the graph and fed from here
- unsigned words are computed as signed ones, so its noise is wrong: NumPy computes the noise
- the first batch of a new largest size gives garbage in models without a plan: it is run twice
- a run cannot be cancelled inside a loop: plans are split, and deadlines are checked between the parts
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, extra, one_line
from jaxgen.inference.defaults import required
from jaxgen.inference.outside import Outside
from jaxgen.inference.session import Feeds, Session, Threaded

NAME = "openvino"
BATCHED = ("seed", "images", "x", "z")  # of which every kind of file has an input, one row for each image
ROWS = 10  # of a plan in one call; each call has 2 ms of overhead


def load(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    spin: bool = True,
    provider: str | None = None,
) -> Session:
    """threads: None: OpenVINO's default. Raises JaxgenError if OpenVINO cannot load the file."""
    with extra(NAME), _unreported():
        import openvino

    model, defaults, _ = required(data)
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}  # some CPUs default to float16 or bfloat16
    settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
    except Exception as err:
        raise JaxgenError(f"{path}: {NAME} cannot load it: {one_line(err)}") from err
    inputs = {port.any_name: _shape(port) for port in compiled.inputs}
    outputs = {port.any_name: _shape(port) for port in compiled.outputs}
    noise_shape = [size or 0 for size in inputs.get("latent", outputs.get("images", []))[1:]]
    infer = _Infer(compiled.create_infer_request())
    work = Outside(infer, defaults, rows=ROWS, noise_shape=noise_shape)
    return Threaded(path, NAME, inputs, outputs, work)


class _Infer:
    """Calls of a compiled model, with the first batch of a new largest size run twice."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._largest = 0  # batch so far

    def __call__(self, outputs: Sequence[str], feeds: Feeds) -> list[np.ndarray]:
        count = next(len(feeds[name]) for name in BATCHED if name in feeds)
        if count > self._largest:
            short = {"plan": feeds["plan"][:1]} if "plan" in feeds else {}
            self._request.infer({**feeds, **short})
            self._largest = count
        results = self._request.infer(dict(feeds))
        return [results[name] for name in outputs]


def _shape(port: Any) -> list[int | None]:
    return [None if size.is_dynamic else size.get_length() for size in port.partial_shape]


@contextmanager
def _unreported() -> Iterator[None]:
    """Block OpenVINO's telemetry, which would report each import to its makers."""
    reporter = "openvino_telemetry"
    if reporter in sys.modules:
        yield
        return
    sys.modules[reporter] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[reporter]
