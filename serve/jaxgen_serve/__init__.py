"""The HTTP API, its page, and the dashboard: images from .onnx files, without JAX or PyTorch."""
