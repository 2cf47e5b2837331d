"""Inpainting: sampling the unknown part of an image, given the rest (Lugmayr et al. 2022, "RePaint")."""

from __future__ import annotations

import itertools

import numpy as np

from jaxgen.images import to_unit
from jaxgen.inference.model import Model
from jaxgen.latent.inversion import advance
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.prng import image_noise
from jaxgen.sampling.process import Process
from jaxgen.sampling.sampler_spec import kind_of

Array = np.ndarray
NOISE_INDEX = COLUMNS.index("noise_index")


def levels(process: Process, plan: Array) -> Array:
    """The scales of x0 and of the noise in x before each row, and after the last: float64 [S + 1, 2]."""
    times = plan[:, COLUMNS.index("t")].astype(np.float64)
    return np.append(np.stack(kind_of(process).levels(process, times), axis=1), [[1.0, 0.0]], axis=0)


def inpaint(
    model: Model,
    image: Array,
    unknown: Array,
    plan: Array,
    *,
    seed: int,
    index: Array,
    label: Array | None = None,
    guidance: float | None = None,
    resample: int = 1,
) -> Array:
    """Images uint8 [N, H, W, C] that equal `image` [H, W, C] outside of `unknown`, bool [H, W], pixel for pixel.

    After each row, the known part of x is replaced by the image with the noise level of the plan there: noise number 0
    of `seed` and `index`, [N] each. resample: how often each row is run, with noise added back in between, so that the
    parts agree better (section 4.2); this noise has the numbers after the plan's own.
    """
    count, hole = len(index), unknown[..., None]
    seeds, known = np.full(count, seed), to_unit(image)
    start = image_noise(seeds, index, 0, image.shape)
    at = levels(model.process(), plan)
    numbers = itertools.count(int(plan[:, NOISE_INDEX].max()) + 1)
    x = np.where(hole, start, at[0, 0] * known + at[0, 1] * start).astype(np.float32)
    ahead, x0, images = x, np.zeros_like(x), np.zeros(x.shape, np.uint8)
    for row, before, after in zip(plan.copy(), at, at[1:], strict=False):
        for repeat in range(resample):
            if repeat:  # back to the start of the row, with fresh noise: the same noise would add up
                share = before[0] / after[0]
                fresh = image_noise(seeds, index, next(numbers), image.shape)
                spread = np.sqrt(max(before[1] ** 2 - (share * after[1]) ** 2, 0.0))
                x = (share * ahead + spread * fresh).astype(np.float32)
                row[NOISE_INDEX] = next(numbers)
            images, (x_after, x0_after) = advance(
                model, row, np.stack([x, x0]), seeds, index, label=label, guidance=guidance
            )
            ahead = np.where(hole, x_after, after[0] * known + after[1] * start).astype(np.float32)
        x, x0 = ahead, x0_after
    return np.where(hole, images, image)
