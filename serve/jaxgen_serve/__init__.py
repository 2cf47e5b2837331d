"""The HTTP API, its page, and the dashboard: pictures from .onnx files, without JAX or PyTorch."""
