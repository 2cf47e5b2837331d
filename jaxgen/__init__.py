"""Small generative image models, trained in JAX, exported to one ONNX file that runs anywhere."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxgen.inference.sampler import Model as Model

# Here, before anything could import onnxruntime: from 1.31 on it reports each session to its makers otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """`jaxgen.Model`, imported when it is asked for: `jaxgen --help` needs no NumPy."""
    if name == "Model":
        from jaxgen.inference.sampler import Model

        return Model
    raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")
