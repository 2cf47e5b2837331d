"""The networks of exported files, alone, in onnxruntime."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader


def network(model) -> onnx.ModelProto:
    return onnx.load_from_string(model.network.read_bytes())


def inputs(config, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Of a network: normals, times and labels, -1 among them where the model knows it."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, *config.noise_shape), np.float32)
    label = {"label": np.arange(count) % config.class_count - config.null_class} if config.class_count else {}
    if config.process is None:
        return {"z": x, **label}
    return {"x": x, "t": np.linspace(0, 40, count).astype(np.float32), **label}


def session(model: onnx.ModelProto | bytes) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """The model in onnxruntime: feeds -> its one output."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    data = model if isinstance(model, bytes) else model.SerializeToString()
    loaded = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda feeds: loaded.run(None, feeds)[0]


def run(model: onnx.ModelProto | bytes, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return session(model)(feeds)


class Calibration(CalibrationDataReader):
    """Four batches for a tool that quantises."""

    def __init__(self, config) -> None:
        self.batches = iter([inputs(config, 8, seed) for seed in range(4)])

    def get_next(self):
        return next(self.batches, None)
