"""onnxruntime, which the base install has: every kind of file, deadlines that end a run, and providers for devices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, UsageError, lookup, one_line
from jaxgen.inference.session import Feeds, Session, Stop, Threaded

NAME, CPU = "onnxruntime", "cpu"
# All of it, which is also the default: levels below LAYOUT change the last bits of what a graph gives.
OPTIMIZATION = "ORT_ENABLE_ALL"
PROVIDERS: dict[str, tuple[str, dict[str, Any]]] = {  # what a person calls it -> what onnxruntime does, its options
    CPU: ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": 0}),  # which would round float32 products to 10 bits
    "directml": ("DmlExecutionProvider", {}),
    "coreml": ("CoreMLExecutionProvider", {}),
}


def load(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    spin: bool = True,
    provider: str | None = None,
) -> Session:
    """threads: None: as many as onnxruntime thinks right; spin: whether they wait for work with a busy core, which is
    faster where nothing else needs the cores, and slower where something does; provider: of PROVIDERS, None: cpu.

    Raises JaxgenError if onnxruntime cannot load the file, UsageError for a provider that it does not have.
    """
    import onnxruntime as ort

    chosen, settings = installed(provider or CPU)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # it warns of every input with a default, and errors are raised besides
    options.intra_op_num_threads = threads or 0
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, OPTIMIZATION)
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    try:
        session = ort.InferenceSession(data, options, providers=[(chosen, settings)])
    except Exception as err:
        raise JaxgenError(f"{path}: onnxruntime cannot load it: {one_line(err)}") from err
    if session.get_providers()[0] != chosen:  # it falls back to the CPU, and only its log would say so
        raise JaxgenError(f"{path}: onnxruntime has the provider {provider!r}, but it does not start on this machine")

    def work(outputs: Sequence[str], feeds: Feeds, stop: Stop) -> list[np.ndarray]:
        run_options = ort.RunOptions()
        stop.ends(lambda: setattr(run_options, "terminate", True))
        return session.run(list(outputs), dict(feeds), run_options)

    inputs = {port.name: port.shape for port in session.get_inputs() + session.get_overridable_initializers()}
    return Threaded(path, NAME, inputs, {port.name: port.shape for port in session.get_outputs()}, work)


def installed(provider: str) -> tuple[str, dict[str, Any]]:
    """onnxruntime's name of a provider, and its options. Raises UsageError if it is not installed."""
    import onnxruntime as ort

    chosen, options = lookup(PROVIDERS, provider, "provider")
    known = ort.get_available_providers()
    if chosen not in known:
        there = ", ".join(short for short, (long, _) in PROVIDERS.items() if long in known)
        raise UsageError(f"onnxruntime has no provider {provider!r} here, only {there}; others need other builds")
    return chosen, options
