"""Export trained weights to PyTorch, TorchScript and a one-file ONNX sampler with its certificate."""
