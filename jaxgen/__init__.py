"""Small generative image models, trained in JAX, exported to one ONNX file that runs anywhere."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxgen.inference.model import Model as Model

# Set before anything imports onnxruntime, which otherwise reports each session to its makers from version 1.31 on.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """Import `jaxgen.Model` on demand, so that `jaxgen --help` needs no NumPy."""
    if name == "Model":
        from jaxgen.inference.model import Model

        return Model
    raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")
