"""Latent space: encoding, interpolation, anomaly scores, probes and maps, with NumPy and onnxruntime alone.

A latent is the input that determines an image: the code [D] of a VAE or GAN, or the initial noise [H, W, C] of a plan.
"""
