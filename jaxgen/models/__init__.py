"""Networks in Flax NNX (NHWC), and the JAX loop that samples from them."""
