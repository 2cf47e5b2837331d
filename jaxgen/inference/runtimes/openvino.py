"""OpenVINO, on Intel's and other CPUs. What 2026.4 does wrong without an error, and what is done about it here:

- inputs with a default become constants: the defaults are taken out and fed from here
- unsigned words are computed as signed ones, so its noise is other noise: NumPy makes it, outside
- a batch larger than any before it comes out as garbage in files of models without a plan: it is run again
- a run cannot be cancelled inside a loop: plans are cut, and a deadline is heeded between the cuts
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
ROWS = 10  # of a plan in one call; a call costs 2 ms besides


def load(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    spin: bool = True,
    provider: str | None = None,
) -> Session:
    """threads: None: as many as OpenVINO thinks right. Raises JaxgenError if OpenVINO cannot load the file."""
    with extra(NAME), _unreported():
        import openvino

    model, defaults, _ = required(data)
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}  # some CPUs would take half of that by default
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
    """Calls of a compiled model, each right."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._largest = 0  # batch so far

    def __call__(self, outputs: Sequence[str], feeds: Feeds) -> list[np.ndarray]:
        count = len(feeds["seed"] if "seed" in feeds else feeds["images"])
        if count > self._largest:
            short = {"plan": feeds["plan"][:1]} if "plan" in feeds else {}
            self._request.infer({**feeds, **short})
            self._largest = count
        found = self._request.infer(dict(feeds))
        return [found[name] for name in outputs]


def _shape(port: Any) -> list[int | None]:
    return [None if size.is_dynamic else size.get_length() for size in port.partial_shape]


@contextmanager
def _unreported() -> Iterator[None]:
    """OpenVINO's package reports each import to its makers, unless the module that does so cannot be found."""
    reporter = "openvino_telemetry"
    if reporter in sys.modules:
        yield
        return
    sys.modules[reporter] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[reporter]
