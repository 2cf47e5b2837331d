"""The HTTP API, its page and the dashboard: sample from .onnx files, without JAX or PyTorch."""
