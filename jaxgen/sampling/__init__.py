"""The mathematics of sampling, in NumPy, without files and frameworks."""
