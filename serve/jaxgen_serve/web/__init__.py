"""The static site and onnxruntime's WebAssembly build."""
