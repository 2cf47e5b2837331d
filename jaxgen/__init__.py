"""Small generative image models, trained in JAX, exported to one ONNX file that runs anywhere."""

import os

# Here, before anything could import onnxruntime: from 1.31 on it reports each session to its makers otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
