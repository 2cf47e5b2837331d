"""Libraries that read an ONNX file and run it, for worker.py: (path, feeds in the graph's order, output) -> run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

Feeds = dict[str, np.ndarray]
Run = Callable[[], np.ndarray]  # -> the output


def onnxruntime(path: str, feeds: Feeds, output: str) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run([output], feeds)[0]


def reference(path: str, feeds: Feeds, output: str) -> Run:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(path)
    return lambda: evaluator.run([output], feeds)[0]


def openvino(path: str, feeds: Feeds, output: str) -> Run:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino as ov

    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}  # some CPUs default to bfloat16
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
    return lambda: request.infer(feeds)[output]


def tract(path: str, feeds: Feeds, output: str) -> Run:
    import tract as library

    model = library.onnx().load(path).into_model()
    names = [model.input_name(number) for number in range(model.input_count())]
    runnable = model.into_runnable()
    return lambda: runnable.run([np.ascontiguousarray(feeds[name]) for name in names])[0].to_numpy()


def tinygrad(path: str, feeds: Feeds, output: str) -> Run:
    """Compiled once, in the second run. It wants a program named clang, which Zig's wheel has in it."""
    import ziglang

    clang = Path("clang").absolute()
    clang.write_text(f'#!/bin/sh\nexec "{Path(ziglang.__file__).parent / "zig"}" clang "$@"\n')
    clang.chmod(0o755)
    os.environ |= {"CC": str(clang), "DEV": "CPU"}
    from tinygrad import Tensor, TinyJit
    from tinygrad.nn.onnx import OnnxRunner

    runner = OnnxRunner(path)
    compiled = TinyJit(lambda **inputs: runner(inputs)[output].realize())
    return lambda: compiled(**{name: Tensor(value).realize() for name, value in feeds.items()}).numpy()


def opencv(path: str, feeds: Feeds, output: str) -> Run:
    import cv2

    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromONNX(path)
    if net.empty():
        raise RuntimeError("readNetFromONNX gives a network without layers")

    def run() -> np.ndarray:
        for name, value in feeds.items():
            net.setInput(value, name)
        return net.forward(output)

    return run


def onnx2torch(path: str, feeds: Feeds, output: str) -> Run:
    # It imports torchvision for two operators that no file here has; that of the index needs PyTorch's build for CUDA.
    sys.modules["torchvision"] = sys.modules["torchvision.ops"] = mock.MagicMock()
    import torch
    from onnx2torch import convert

    torch.set_num_threads(1)
    module = convert(path).eval()
    inputs = [torch.from_numpy(value) for value in feeds.values()]

    def run() -> np.ndarray:
        with torch.inference_mode():
            return module(*inputs).numpy()

    return run


def jaxgen(path: str, feeds: Feeds, runtime: str) -> Run:
    """What `jaxgen sample --runtime` does."""
    from jaxgen.inference.model import Model

    model = Model.open(path, runtime=runtime, **({"threads": 1} if runtime == "openvino" else {}))
    return lambda: model.sample(**feeds)[0]
