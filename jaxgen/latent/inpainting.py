"""Part of an image drawn anew, around what is known of it (Lugmayr et al. 2022, "RePaint")."""

from __future__ import annotations

import itertools

import numpy as np

from jaxgen.images import to_unit
from jaxgen.inference.sampler import Model
from jaxgen.latent.inversion import advance
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.prng import image_noise
from jaxgen.sampling.process import Process
from jaxgen.sampling.sampler_spec import kind_of

Array = np.ndarray
NOISE_INDEX = COLUMNS.index("noise_index")


def levels(process: Process, plan: Array) -> Array:
    """How much of x0 and of noise a network expects in x before each row, and after the last: float64 [S + 1, 2]."""
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

    After each row the known part of x is the image's, with as much of its own noise as the plan has there: number 0 of
    `seed` and `index`, [N] each. resample: how often each row is run, noise being added back in between, which makes
    the parts agree better (section 4.2); those normals have the numbers after the plan's own.
    """
    count, hole = len(index), unknown[..., None]
    seeds, known = np.full(count, seed), to_unit(image)
    start = image_noise(seeds, index, 0, image.shape)
    at = levels(model.process(), plan)
    draws = itertools.count(int(plan[:, NOISE_INDEX].max()) + 1)
    x = np.where(hole, start, at[0, 0] * known + at[0, 1] * start).astype(np.float32)
    ahead, x0, images = x, np.zeros_like(x), np.zeros(x.shape, np.uint8)
    for row, before, after in zip(plan.copy(), at, at[1:], strict=False):
        for again in range(resample):
            if again:  # back to where the row starts; with new normals, which would add up otherwise
                share = before[0] / after[0]
                fresh = image_noise(seeds, index, next(draws), image.shape)
                spread = np.sqrt(max(before[1] ** 2 - (share * after[1]) ** 2, 0.0))
                x = (share * ahead + spread * fresh).astype(np.float32)
                row[NOISE_INDEX] = next(draws)
            images, (drawn, x0_after) = advance(
                model, row, np.stack([x, x0]), seeds, index, label=label, guidance=guidance
            )
            ahead = np.where(hole, drawn, after[0] * known + after[1] * start).astype(np.float32)
        x, x0 = ahead, x0_after
    return np.where(hole, images, image)
