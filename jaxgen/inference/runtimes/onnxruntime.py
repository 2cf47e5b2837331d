"""onnxruntime, the default runtime: it runs every kind of file, can end a run, and has providers for devices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, UsageError, lookup, one_line
from jaxgen.inference.session import Feeds, Session, Stop, Threaded

NAME, CPU = "onnxruntime", "cpu"
# The highest level, also the default: levels below LAYOUT change the last bits of a graph's results.
OPTIMIZATION = "ORT_ENABLE_ALL"
PROVIDERS: dict[str, tuple[str, dict[str, Any]]] = {  # option -> onnxruntime's name, its options
    CPU: ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": 0}),  # TF32 would round float32 products to 10 bits
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
    """threads: None: onnxruntime's default; spin: whether idle threads keep their cores busy, which is faster unless
    something else needs the cores; provider: of PROVIDERS, None: cpu.

    Raises JaxgenError if onnxruntime cannot load the file, UsageError for a missing provider.
    """
    import onnxruntime as ort

    chosen, settings = installed(provider or CPU)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # fatal: it warns of every input with a default, and errors are raised anyway
    options.intra_op_num_threads = threads or 0
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, OPTIMIZATION)
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    try:
        session = ort.InferenceSession(data, options, providers=[(chosen, settings)])
    except Exception as err:
        raise JaxgenError(f"{path}: onnxruntime cannot load it: {one_line(err)}") from err
    if session.get_providers()[0] != chosen:  # it fell back to the CPU, which only its log would show
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
        available = ", ".join(short for short, (long, _) in PROVIDERS.items() if long in known)
        raise UsageError(f"onnxruntime has no provider {provider!r} here, only {available}; others need other builds")
    return chosen, options
