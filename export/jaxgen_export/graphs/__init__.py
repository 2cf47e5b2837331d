"""The exported graphs in ONNX's text syntax, and their composition with a network."""
