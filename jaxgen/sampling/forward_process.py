"""The forward process: adding noise to images, which a diffusion model learns to reverse."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxgen.images import to_uint8, to_unit
from jaxgen.sampling.prng import image_noise


def noising(images: np.ndarray, alpha_bar: np.ndarray, frame_count: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Images with increasing noise, from t = 0 (none) to T: uint8 [N, H, W, C] per frame.

    images: uint8 [N, H, W, C]; alpha_bar: [T]; each image keeps the same noise, number 0 of its index, so that the
    frames are continuous (Ho et al. 2020, equation 4).
    """
    x0 = to_unit(images)
    eps = image_noise(seed, np.arange(len(images)), 0, images.shape[1:])
    kept = np.concatenate([[1.0], alpha_bar])
    for t in np.unique(np.linspace(0, len(alpha_bar), frame_count).round().astype(int)):
        yield to_uint8((np.sqrt(kept[t]) * x0 + np.sqrt(1 - kept[t]) * eps).astype(np.float32))
