"""From an image back to the noise that a plan draws it from: DDIM inversion, and the same for other plans."""

from __future__ import annotations

import numpy as np

from jaxgen.images import to_unit
from jaxgen.inference.sampler import Model
from jaxgen.sampling.plan import COLUMNS, validate

Array = np.ndarray


def reversible(plan: Array) -> bool:
    """Whether each row makes x of the x before it and the network alone: no noise, no memory of earlier rows."""
    return not plan[:, [COLUMNS.index("noise"), COLUMNS.index("x0_prev")]].any()


def reverse(plan: Array) -> Array:
    """The plan that undoes a `reversible` one: float32 [<= S, 9], from its last row to its first.

    Unclipped, a row is x' = A x + B out(x, t). Solved for x this is x = (x' - B out(x, t)) / A, and the x that the
    network is asked about, not known yet, is replaced by x': what Song et al. 2021 (section 4.3) do for DDIM, whose
    steps must be small for it. A row that keeps nothing of x (A = 0: the last one, if x0 is what the network predicts)
    cannot be undone and is left out: the image is taken for what was there before.
    """
    t, x0_x, x0_out, _, to_x, to_x0, _, _, noise_index = plan[::-1].astype(np.float64).T
    a, b = to_x + to_x0 * x0_x, to_x0 * x0_out
    kept = a != 0
    zero, one = np.zeros(kept.sum()), np.ones(kept.sum())
    a, b = a[kept], b[kept]
    # In these rows "x0" is what the network says.
    return validate(np.stack([t[kept], zero, one, one * np.inf, 1 / a, -b / a, zero, zero, noise_index[kept]], axis=1))


def advance(
    model: Model,
    row: Array,
    state: Array,
    seed: Array,
    index: Array,
    *,
    label: Array | None,
    guidance: float | None,
) -> tuple[Array, Array]:
    """One row [9] of a plan: images uint8 [N, H, W, C] and the state [2, N, H, W, C]; see `Model.sample`."""
    images, after = model.sample(seed, index, label=label, guidance=guidance, plan=row[None], state=state)
    assert after is not None  # models that take a plan give one
    return images, after


def invert(
    model: Model,
    images: Array,
    plan: Array,
    *,
    label: Array | None = None,
    guidance: float | None = None,
    refine: int = 0,
) -> Array:
    """The noise float32 [N, H, W, C] from which a reversible plan draws these uint8 images, nearly.

    refine: how often each row is solved again with the x that it gave, a fixed-point iteration; each costs as much as
    the first (Pan et al. 2023, "Effective real image editing with accelerated iterative diffusion inversion").
    """
    seed = np.zeros(len(images), np.int64)  # no row draws
    x = to_unit(images)
    for row in reverse(plan):
        guess = x
        again = row.copy()  # x' from "x0_prev", so that "x" can be the guess
        again[[COLUMNS.index("x"), COLUMNS.index("x0_prev")]] = 0, row[COLUMNS.index("x")]
        for _ in range(1 + refine):
            state = np.stack([guess, x])
            _, (guess, _) = advance(model, again, state, seed, seed, label=label, guidance=guidance)
        x = guess
    return x
