"""Networks in Flax NNX (NHWC), and the sampling loop in JAX."""
