"""What lies behind the images: latents read, walked through, scored and told apart. NumPy and onnxruntime alone.

A latent is what an image is drawn from: the code [D] of a VAE or GAN, or the noise [H, W, C] that a plan starts from.
"""
