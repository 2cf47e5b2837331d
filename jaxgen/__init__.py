"""Small generative image models, trained in JAX, exported to one ONNX file that runs anywhere."""

__version__ = "0.1.0"
