"""Opening and running a model file: NumPy and a runtime."""
