"""Solvers that a row of a plan cannot say, in NumPy around a model file: exponential integrators with polynomials.

With lambda = log(alpha / sigma), x moves from lambda to lambda_next exactly by

    x_next = sigma_next / sigma * x + sigma_next * integral of exp(l) x0(l) dl        (Lu et al. 2022, equation 8)

and a method is a polynomial in the place of x0(l): through the last k values (Adams-Bashforth, whose k = 1 is DDIM, 2
is about DPM-Solver++ 2M, 3 is about its 3M), or through the value at lambda_next, too (Adams-Moulton), which corrects a
step once the network has been evaluated at its end. UniPC (Zhao et al. 2023) corrects with the value at the uncorrected
x and goes on with it, so it costs nothing; Heun's method evaluates again, so it takes half as many steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

Array = np.ndarray
Predict = Callable[[Array, int], Array]  # (x, timestep) -> x0
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(32)


def share(nodes: list[float], start: float, end: float, sigma_end: float) -> Array:
    """The weight of x0 at each node: sigma_end times the integral of exp(l) and the node's Lagrange polynomial."""
    half = (end - start) / 2
    at = half * (POINTS + 1) + start
    weights = []
    for node in nodes:
        others = [other for other in nodes if other != node]
        lagrange = np.prod([(at - other) / (node - other) for other in others], axis=0) if others else 1.0
        weights.append(sigma_end * half * np.sum(WEIGHTS * np.exp(at) * lagrange))
    return np.array(weights)


def multistep(predict: Predict, x: Array, times: Array, kept: Array, *, order: int, corrected: bool = False) -> Array:
    """Adams-Bashforth of this order, after Adams-Moulton of the same order where `corrected`: one evaluation a step."""
    alpha, sigma = np.sqrt(kept[times]), np.sqrt(1 - kept[times])
    lam = np.log(alpha / sigma)
    values: list[Array] = []  # x0 at the steps so far
    before = x
    for step, time in enumerate(times):
        values.append(predict(x, time))
        if step == len(times) - 1:
            return values[-1]
        if corrected and step:
            nodes = list(range(max(0, step - order + 1), step + 1))
            x = _moved(before, nodes, values, lam, sigma, step - 1)
        before = x
        nodes = list(range(max(0, step - order + 1), step + 1))
        x = _moved(x, nodes, values, lam, sigma, step)
    raise ValueError("no times")


def heun(predict: Predict, x: Array, times: Array, kept: Array) -> Array:
    """Two evaluations a step but for the last: a DDIM step, then the trapezoid with the value at its end."""
    alpha, sigma = np.sqrt(kept[times]), np.sqrt(1 - kept[times])
    lam = np.log(alpha / sigma)
    for step, time in enumerate(times[:-1]):
        first = predict(x, time)
        guess = _moved(x, [0], [first], lam[step : step + 2], sigma[step : step + 2], 0)
        both = [first, predict(guess, times[step + 1])]
        x = _moved(x, [0, 1], both, lam[step : step + 2], sigma[step : step + 2], 0)
    return predict(x, times[-1])


def _moved(x: Array, nodes: list[int], values: list[Array], lam: Array, sigma: Array, step: int) -> Array:
    """x from the time of `step` to that of the next, by the polynomial through the values at these nodes."""
    weights = share([lam[node] for node in nodes], lam[step], lam[step + 1], sigma[step + 1])
    return sigma[step + 1] / sigma[step] * x + sum(w * values[node] for w, node in zip(weights, nodes, strict=True))


# name: (solver, evaluations of the network for this many times)
SOLVERS: dict[str, tuple[Callable[..., Array], Callable[[int], int]]] = {
    "Adams-Bashforth 2 (fits a row)": (partial(multistep, order=2), lambda count: count),
    "Adams-Bashforth 3": (partial(multistep, order=3), lambda count: count),
    "UniPC, order 2": (partial(multistep, order=2, corrected=True), lambda count: count),
    "UniPC, order 3": (partial(multistep, order=3, corrected=True), lambda count: count),
    "Heun": (heun, lambda count: 2 * count - 1),
}
