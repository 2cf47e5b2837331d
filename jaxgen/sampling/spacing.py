"""Spacings: which times a plan of a given number of steps evaluates the network at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jaxgen.errors import UsageError, lookup
from jaxgen.sampling.process import MAX_STEPS

Array = np.ndarray

TRAILING = "trailing"  # the default
RHO, SIGMA_MAX = 7, 80.0  # of Karras et al. 2022, table 1


def timesteps(total: int, steps: int) -> Array:
    """The `steps` timesteps of a sampler out of `total` training steps: int64 [S], from total - 1 down, no two equal.

    'Trailing' spacing, so that a sampler starts at pure noise. Raises UsageError unless 1 <= steps <= total.
    Source: Lin et al. 2023, Table 2.
    """
    _require_steps(total, steps)
    return np.round(np.arange(steps, 0, -1) * total / steps).astype(np.int64) - 1


def quadratic(alpha_bar: Array, steps: int) -> Array:
    """Times that grow as squares, so that most are near the image. Source: Song et al. 2021, appendix D.2."""
    total = len(alpha_bar)
    return _distinct((np.arange(steps, 0, -1) / steps) ** 2 * total - 1, total)


def karras(alpha_bar: Array, steps: int) -> Array:
    """Times whose noise to signal ratios sigma have evenly spaced seventh roots, from the largest one up to 80 to the
    smallest. The schedules go on to ratios of thousands, of which a plan of few steps has no use.

    A ratio between two timesteps is rounded to the nearer one by its logarithm. Source: Karras et al. 2022, equation 5.
    """
    sigma = np.sqrt((1 - alpha_bar) / alpha_bar)  # never decreasing
    roots = np.linspace(min(sigma[-1], SIGMA_MAX) ** (1 / RHO), sigma[0] ** (1 / RHO), steps)
    return _distinct(np.interp(RHO * np.log(roots), np.log(sigma), np.arange(len(sigma))), len(sigma))


# Of diffusion models: (alpha_bar [T], steps) -> timesteps, int64 [S], from the first to the last that a plan takes.
SPACINGS: dict[str, Callable[[Array, int], Array]] = {
    TRAILING: lambda alpha_bar, steps: timesteps(len(alpha_bar), steps),
    "quadratic": quadratic,
    "karras": karras,
}

# Of flows: steps -> times in (0, 1], float64 [S], from 1 down. Karras et al. space ratios, which are infinite at 1.
FLOW_SPACINGS: dict[str, Callable[[int], Array]] = {
    TRAILING: lambda steps: np.arange(steps, 0, -1) / steps,
    "quadratic": lambda steps: (np.arange(steps, 0, -1) / steps) ** 2,
}


def spaced(alpha_bar: Array, steps: int, spacing: str = TRAILING) -> Array:
    """The timesteps of a diffusion model's plan: int64 [S], decreasing, the first one at or near T - 1.

    alpha_bar: [T]. Raises UsageError unless 1 <= steps <= T and the spacing is of SPACINGS.
    """
    _require_steps(len(alpha_bar), steps)
    return lookup(SPACINGS, spacing, "spacing")(alpha_bar, steps)


def flow_spaced(steps: int, spacing: str = TRAILING) -> Array:
    """The times of a flow's plan: float64 [S] in (0, 1], decreasing, the first one 1.

    Raises UsageError unless 1 <= steps <= 100,000 and the spacing is of FLOW_SPACINGS.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise UsageError(f"sampling steps must be from 1 to {MAX_STEPS}, got {steps}")
    return lookup(FLOW_SPACINGS, spacing, "spacing of a flow")(steps)


def _require_steps(total: int, steps: int) -> None:
    if not 1 <= steps <= total:
        raise UsageError(f"sampling steps must be from 1 to {total} (the model's training steps), got {steps}")


def _distinct(times: Array, total: int) -> Array:
    """Decreasing numbers, rounded to integers in [0, total) of which no two are equal: where several round to one, the
    later ones of a plan keep their place and the earlier ones move up."""
    least = np.arange(len(times))
    rising = np.maximum(np.round(times[::-1]).astype(np.int64), 0)
    rising = np.maximum.accumulate(rising - least) + least
    return np.minimum(rising, total - len(times) + least)[::-1]
