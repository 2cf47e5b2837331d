"""Noise schedules and samplers: a sampler is a table with one row per network evaluation.

In each row the network takes `t` and gives `out`; then

    x0 = clip(x0_x * x + x0_out * out, -clip, clip)
    x  = x * x + x0 * x0 + x0_prev * (x0 of the row before) + noise * (noise number `noise_index`)

where the names on the left of each product are the row's `COLUMNS`. Tables are computed once, in float64, and returned
as float32 [S, 9]; every backend runs the same table with the loop of `run`.

A row has one evaluation and remembers one x0, so a sampler here is a one-step or a two-step method, at most of second
order with one evaluation a step. Methods of third order need the x0 of two rows before (DPM-Solver++ 3M, UniPC of order
2 and above) or x itself from an earlier row (Heun, which corrects a step after a second evaluation): they would need
more columns and a larger state. experiments/plans has what they would gain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxgen.errors import UsageError, lookup
from jaxgen.sampling.spacing import flow_spaced, timesteps

Array = np.ndarray

COLUMNS = ("t", "x0_x", "x0_out", "clip", "x", "x0", "x0_prev", "noise", "noise_index")
MAX_ROWS = 100_000
MAX_NOISE_INDEX = 2**24  # float32 holds every integer up to here

# Limits of alpha_bar, within which it and all coefficients are normal float32 numbers. Only schedules of many thousand
# steps, or with betas near 0 or 1, reach them.
_LEAST, _MOST = 1e-30, 1 - 1e-12


def alpha_bar(schedule: str, steps: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Array:
    """Signal power kept after each step of the forward process: [T] float64 in (0, 1), never increasing.

    schedule: 'linear' (Ho et al. 2020; only it reads the betas, 0 < start <= end < 1), 'cosine' (Nichol & Dhariwal
    2021) or 'sigmoid' (Jabri et al. 2022: from -3 to 3, tau 1); steps: T >= 1. Raises UsageError on other values.
    """
    if steps < 1:
        raise UsageError(f"a noise schedule needs at least 1 step, got {steps}")
    schedules: dict[str, Callable[[], Array]] = {
        "linear": lambda: _linear_betas(steps, beta_start, beta_end),
        "cosine": lambda: _betas(_cosine, steps),
        "sigmoid": lambda: _betas(_sigmoid, steps),
    }
    betas = lookup(schedules, schedule, "noise schedule")()
    return np.clip(np.cumprod(1 - betas), _LEAST, _MOST)


def _linear_betas(steps: int, beta_start: float, beta_end: float) -> Array:
    if not 0 < beta_start <= beta_end < 1:
        raise UsageError(f"a linear schedule needs 0 < beta_start <= beta_end < 1, got {beta_start} and {beta_end}")
    return np.linspace(beta_start, beta_end, steps)


def _betas(signal: Callable[[Array], Array], steps: int) -> Array:
    """The betas of a schedule given as signal power over time in [0, 1]; at most 0.999, as in the papers."""
    kept = signal(np.arange(steps + 1) / steps)
    return np.minimum(1 - kept[1:] / kept[:-1], 0.999)


def _cosine(time: Array) -> Array:
    return np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2


def _sigmoid(time: Array) -> Array:
    def sigmoid(z: Any) -> Any:
        return 1 / (1 + np.exp(-z))

    return (sigmoid(3.0) - sigmoid(6 * time - 3)) / (sigmoid(3.0) - sigmoid(-3.0))


class Update(NamedTuple):
    """The coefficients of the next x, [S] float64 each: the columns of the same names."""

    x: Array
    x0: Array
    x0_prev: Array
    noise: Array


def ancestral(a: Array, a_next: Array) -> Update:
    """DDPM: a sample of q(x_next | x, x0) with variance beta-tilde ('fixed small').

    a, a_next: alpha_bar before and after each row, [S]. Source: Ho et al. 2020, equations 6 and 7.
    """
    alpha = a / a_next
    beta = 1 - alpha
    x = np.sqrt(alpha) * (1 - a_next) / (1 - a)
    x0 = np.sqrt(a_next) * beta / (1 - a)
    return Update(x, x0, np.zeros_like(a), np.sqrt((1 - a_next) / (1 - a) * beta))


def ddim(a: Array, a_next: Array, eta: float) -> Update:
    """DDIM: deterministic at eta 0, equal to `ancestral` at eta 1. eps is derived again from the clipped x0.

    a, a_next: alpha_bar before and after each row, [S]. Source: Song et al. 2021, equations 12 and 16.
    """
    share = eta**2 * (1 - a / a_next) / (1 - a)  # fresh share of the next noise's variance
    direction = np.sqrt((1 - a_next) * (1 - share))  # times eps = (x - sqrt(a) x0) / sqrt(1 - a)
    x = direction / np.sqrt(1 - a)
    return Update(x, np.sqrt(a_next) - x * np.sqrt(a), np.zeros_like(a), np.sqrt((1 - a_next) * share))


def dpmpp_2m(a: Array, a_next: Array) -> Update:
    """DPM-Solver++ 2M (multistep, data prediction); first order in the first and the last row.

    a, a_next: alpha_bar before and after each row, [S]. Source: Lu et al. 2022, algorithm 2.
    """
    h = np.diff(np.log(a / (1 - a)) / 2)  # [S - 1] steps of lambda, half the log-SNR
    # 1 / (2 r) of the paper. It is 0, which means first order, in the first row, which has no row before it, in the
    # last row, whose h is infinite, and after a row with h = 0, where a schedule is flat.
    extrapolation = np.zeros_like(a)
    extrapolation[1:-1] = np.divide(h[1:], 2 * h[:-1], out=np.zeros_like(h[1:]), where=h[:-1] > 0)
    x = np.sqrt((1 - a_next) / (1 - a))
    data = np.sqrt(a_next) - x * np.sqrt(a)  # = -alpha (exp(-h) - 1)
    return Update(x, data * (1 + extrapolation), -data * extrapolation, np.zeros_like(a))


@dataclass(frozen=True)
class Sampler:
    """A sampler's function, and the properties that other modules need.

    function: of SAMPLERS, (a, a_next) -> Update; of FLOW_SAMPLERS, (steps, time_scale, times) -> the
    table. takes_eta: the function takes `eta` as well, in [0, 1]. every_step: by default, its plans take all T steps.
    """

    function: Callable[..., Any]
    takes_eta: bool = False
    every_step: bool = False


# Of diffusion models; FLOW_SAMPLERS are below.
SAMPLERS: dict[str, Sampler] = {
    "ancestral": Sampler(ancestral, every_step=True),
    "ddim": Sampler(ddim, takes_eta=True),
    "dpmpp-2m": Sampler(dpmpp_2m),
}

SIGMA_DATA = 0.5  # the deviation of images that 'edm' assumes


def _edm(a: Array) -> tuple[Array, Array]:
    """The preconditioning of Karras et al. 2022, Table 1, for images of deviation s = SIGMA_DATA.

    There, x0 = c_skip y + c_out out with y = x / sqrt(a), which has noise of deviation sigma, sigma^2 = (1 - a) / a.
    With q = a s^2 + 1 - a, the variance of x, c_skip = s^2 a / q and c_out = s sqrt((1 - a) / q). The network should
    give (sqrt(1 - a) x0 - s^2 sqrt(a) eps) / (s sqrt(q)), whose variance is 1 at every a; for s = 1 that is -v. c_in y
    would be x / sqrt(q): the network is given x as it is, which is that up to a factor between s and 1.
    """
    variance = a * SIGMA_DATA**2 + 1 - a
    return SIGMA_DATA**2 * np.sqrt(a) / variance, SIGMA_DATA * np.sqrt((1 - a) / variance)


# alpha_bar -> (x0_x, x0_out): x0 from x and the network's prediction.
PREDICTIONS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "eps": lambda a: (1 / np.sqrt(a), -np.sqrt((1 - a) / a)),
    "x0": lambda a: (np.zeros_like(a), np.ones_like(a)),
    "v": lambda a: (np.sqrt(a), -np.sqrt(1 - a)),  # Salimans & Ho 2022
    "edm": _edm,
}


def make_plan(
    alpha_bar: Array,
    *,
    sampler: str = "ddim",
    steps: int = 50,
    times: Array | None = None,
    eta: float = 0.0,
    prediction: str = "eps",
    clip: float = 1.0,
) -> Array:
    """The table of a sampler: float32 [steps, 9], with the columns `COLUMNS`.

    alpha_bar: [T], from `alpha_bar`; sampler: of SAMPLERS; steps: 1 to T, as `timesteps` has them; times: integers
    [S] in [0, T) that decrease, in their place; eta: in [0, 1], above 0 only for samplers that take it; prediction: of
    PREDICTIONS; clip: > 0, inf for none. Raises UsageError on other values. Row k has noise index k + 1, even without
    noise; noise index 0 is the initial noise. The last row gives x0 itself and adds no noise.
    """
    kept = np.asarray(alpha_bar, np.float64)
    good = kept.ndim == 1 and kept.size and np.all((kept >= _LEAST) & (kept <= _MOST)) and np.all(np.diff(kept) <= 0)
    if not good:
        raise UsageError(
            f"alpha_bar must be numbers in (0, 1), one or more in a row, that never increase; its shape is {kept.shape}"
        )
    chosen, x0_of = lookup(SAMPLERS, sampler, "sampler"), lookup(PREDICTIONS, prediction, "prediction")
    if not 0 <= eta <= 1 or (eta and not chosen.takes_eta):
        takers = ", ".join(repr(name) for name, one in SAMPLERS.items() if one.takes_eta)
        raise UsageError(f"eta must be from 0 to 1, and 0 for samplers other than {takers}; got {eta} for {sampler!r}")
    t = timesteps(len(kept), steps) if times is None else np.asarray(times)
    integers = t.dtype.kind in "iu" and t.ndim == 1 and t.size
    if not integers or t[0] >= len(kept) or t[-1] < 0 or (np.diff(t) >= 0).any():
        raise UsageError(f"times must be integers from {len(kept) - 1} to 0 that decrease, got {t.tolist()}")
    a, a_next = kept[t], np.append(kept[t[1:]], 1.0)
    update: Update = chosen.function(a, a_next, eta) if chosen.takes_eta else chosen.function(a, a_next)
    columns = [t, *x0_of(a), np.full(len(t), clip), *update, np.arange(1, len(t) + 1)]
    return validate(np.stack(columns, axis=1))


def euler(steps: int, time_scale: float, times: Array | None = None) -> Array:
    """The table of a rectified flow's Euler steps from t = 1 to 0, in equal steps: float32 [steps, 9].

    times: numbers [S] in (0, 1] that decrease, to start the steps at instead. The network takes t * time_scale and
    predicts v = eps - x0, so x0 = x - t v, and x + (t_next - t) v is the recurrence below. Euler's method does not clip
    x0. Raises UsageError on other values. Source: Liu et al. 2023, section 2.1.
    """
    t = flow_spaced(steps) if times is None else np.asarray(times, np.float64)
    if t.ndim != 1 or not t.size or not (t[-1] > 0 and t[0] <= 1) or not (np.diff(t) < 0).all():
        raise UsageError(f"times must be numbers in (0, 1] that decrease, got {t.tolist()}")
    kept = np.append(t[1:], 0.0) / t  # the last step gives x0 itself
    zero = np.zeros(len(t))
    columns = [t * time_scale, zero + 1, -t, zero + np.inf, kept, 1 - kept, zero, zero, np.arange(1, len(t) + 1)]
    return validate(np.stack(columns, axis=1))


FLOW_SAMPLERS: dict[str, Sampler] = {"euler": Sampler(euler)}


def validate(plan: Any) -> Array:
    """Check a table from outside and return it as float32 [S, 9]. Raises UsageError that names the wrong value.

    1 <= S <= 100,000; clip > 0 (inf: no clipping); other columns finite; noise_index an integer from 0 to 2^24.
    """
    try:
        with np.errstate(over="ignore"):  # too large for float32 becomes inf and is refused below
            table = np.asarray(plan)
            if table.dtype.kind not in "iuf":  # a cast would accept complex numbers and text
                raise TypeError(f"got {table.dtype}")
            table = table.astype(np.float32)
    except (TypeError, ValueError) as err:
        raise UsageError(f"a plan is an array of numbers, {len(COLUMNS)} to a row: {err}") from err
    if table.ndim != 2 or table.shape[1] != len(COLUMNS) or not 1 <= len(table) <= MAX_ROWS:
        raise UsageError(f"a plan has 1 to {MAX_ROWS} rows of {len(COLUMNS)} columns, got shape {table.shape}")
    clip, noise_index = table[:, COLUMNS.index("clip")], table[:, COLUMNS.index("noise_index")]
    good = np.isfinite(table)
    good[:, COLUMNS.index("clip")] = clip > 0
    good[:, COLUMNS.index("noise_index")] = (
        (noise_index >= 0) & (noise_index <= MAX_NOISE_INDEX) & (noise_index == np.floor(noise_index))
    )
    if not good.all():
        row, column = np.argwhere(~good)[0]
        name = COLUMNS[column]
        special = {"clip": "> 0", "noise_index": f"an integer from 0 to {MAX_NOISE_INDEX}"}
        expected = special.get(name, "a finite number")
        raise UsageError(f"plan row {row}: {name} must be {expected}, got {table[row, column]}")
    return table


def run(
    plan: Array,
    x: Array,
    network: Callable[[Array, float], Array],
    noise: Callable[[int], Array],
    x0_prev: Array | None = None,
) -> tuple[Array, Array]:
    """The sampling loop that every backend runs, in the precision of `x` (float32 or float64, any shape).

    network(x, t) returns `out`, and noise(noise_index) the normals of that number, both like x. Returns (x, last x0),
    the inputs of the next rows of a split plan: run(plan[:k]) and then run(plan[k:]) equals run(plan).
    """
    x0_prev = np.zeros_like(x) if x0_prev is None else x0_prev
    for t, x0_x, x0_out, clip, to_x, to_x0, to_x0_prev, to_noise, noise_index in plan:
        x0 = np.clip(x0_x * x + x0_out * network(x, t), -clip, clip)
        x = to_x * x + to_x0 * x0 + to_x0_prev * x0_prev
        if to_noise != 0:
            x = x + to_noise * noise(int(noise_index))
        x0_prev = x0
    return x, x0_prev
