"""Export: weights to the PyTorch twin, TorchScript, the one-file ONNX sampler and its certificate."""
