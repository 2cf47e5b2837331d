"""Opening and running a model file, with NumPy and a runtime."""
