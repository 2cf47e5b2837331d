"""The mathematics of sampling: NumPy alone, no files and no frameworks."""
