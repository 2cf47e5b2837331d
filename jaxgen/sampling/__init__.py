"""The mathematics of sampling, in NumPy alone: plans, random numbers, the forward process."""
