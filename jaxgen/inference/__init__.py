"""Opening and running model files: NumPy and a runtime, no training framework."""
