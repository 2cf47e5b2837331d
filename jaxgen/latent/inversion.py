"""Inversion: the noise from which a plan samples a given image, by DDIM inversion and its analogue for other plans."""

from __future__ import annotations

import numpy as np

from jaxgen.images import to_unit
from jaxgen.inference.model import Model
from jaxgen.sampling.plan import COLUMNS, validate

Array = np.ndarray


def reversible(plan: Array) -> bool:
    """Whether each row computes x from the previous x and the network alone, without noise or earlier rows."""
    return not plan[:, [COLUMNS.index("noise"), COLUMNS.index("x0_prev")]].any()


def reverse(plan: Array) -> Array:
    """The plan that inverts a `reversible` one: float32 [<= S, 9], from its last row to its first.

    Unclipped, a row is x' = A x + B out(x, t). Solved for x this is x = (x' - B out(x, t)) / A. The network's input x
    is not known yet and is replaced by x', as Song et al. 2021 (section 4.3) do for DDIM; this needs small steps. A row
    without x (A = 0: the last one, if the network predicts x0) cannot be inverted and is left out, so that the image
    stands for the x before it.
    """
    t, x0_x, x0_out, _, to_x, to_x0, _, _, noise_index = plan[::-1].astype(np.float64).T
    a, b = to_x + to_x0 * x0_x, to_x0 * x0_out
    kept = a != 0
    zero, one = np.zeros(kept.sum()), np.ones(kept.sum())
    a, b = a[kept], b[kept]
    # In these rows "x0" is the network's output.
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
    assert after is not None  # models with a plan return a state
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
    """The noise float32 [N, H, W, C] from which a reversible plan samples these uint8 images, approximately.

    refine: fixed-point iterations per row after the first, each at the cost of the first (Pan et al. 2023, "Effective
    real image editing with accelerated iterative diffusion inversion").
    """
    seed = np.zeros(len(images), np.int64)  # no row adds noise
    x = to_unit(images)
    for row in reverse(plan):
        guess = x
        solve = row.copy()  # x' from "x0_prev", so that "x" can be the guess
        solve[[COLUMNS.index("x"), COLUMNS.index("x0_prev")]] = 0, row[COLUMNS.index("x")]
        for _ in range(1 + refine):
            state = np.stack([guess, x])
            _, (guess, _) = advance(model, solve, state, seed, seed, label=label, guidance=guidance)
        x = guess
    return x
