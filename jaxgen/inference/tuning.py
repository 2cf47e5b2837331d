"""Searching the plan of few steps that is nearest to a model's own images of many steps, on its file alone.

Plans without noise follow one path from a noise to its image, so the images of many steps are what those of few steps
should be. Plans with noise make other images, of which a distance says nothing, so they are not searched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.model import Model
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.sampler_spec import SEARCHED, Kind, SamplerSpec, choose, kind_of, named_by, parts
from jaxgen.sampling.search import search
from jaxgen.sampling.spacing import TRAILING

REFERENCE_STEPS = 200
MAX_STEPS = 100

Array = np.ndarray
Say = Callable[[str], object]


class Tuned(NamedTuple):
    """A plan that was found: its recipe, its table [S, 9], and the record of the search for a manifest."""

    recipe: SamplerSpec
    table: Array
    record: dict[str, Any]


class _Start(NamedTuple):
    error: float
    sampler: str
    spacing: str
    times: Array


class Distance:
    """The distance of a plan's images from those of many steps: root mean square over pixels in [-1, 1]."""

    def __init__(self, model: Model, reference: Array, count: int, *, seed: int, first: int) -> None:
        """reference: the plan of many steps, without noise. Images `first` to `first + count - 1` of the seed are
        compared, with all classes in turn and the file's guidance."""
        index = np.arange(first, first + count)
        label = model.labels("all", index) if model.classes else None

        def advanced(rows: Array, state: Array | None) -> Array:
            _, after = model.sample(np.full(count, seed), index, label=label, plan=rows, state=state)
            assert after is not None  # a model with a process returns it
            return after

        @lru_cache(maxsize=3 * MAX_STEPS)
        def after(rows: bytes) -> Array:
            """The state after these rows: plans that start in the same way share their first evaluations."""
            table = np.frombuffer(rows, np.float32).reshape(-1, len(COLUMNS))
            return advanced(table[-1:], after(table[:-1].tobytes()) if len(table) > 1 else None)

        self._after = after
        self._wanted = advanced(reference, None)[0]

    def __call__(self, table: Array) -> float:
        return float(np.sqrt(np.mean((self._after(table.tobytes())[0] - self._wanted) ** 2)))


def tune(
    model: Model, steps: int, *, count: int = 64, seed: int = 1, budget: int = 200, say: Say = lambda line: None
) -> Tuned:
    """Search the times of `steps` evaluations, from the best spacing of each sampler that adds no noise.

    count: images to compare, and as many others to judge the result by; budget: how many plans to try.
    Raises UsageError if the model has no plans or steps are not from 2 to the model's own most, JaxgenError if no plan
    gives finite images.
    """
    process = model.process()
    kind, most = kind_of(process), min(MAX_STEPS, process.max_steps)
    if not 2 <= steps <= most:
        raise UsageError(f"the steps of a searched plan must be from 2 to {most}, got {steps}")
    reference = SamplerSpec(kind.finest, min(REFERENCE_STEPS, process.max_steps))
    say(f"{count} images of {reference.steps} steps of {reference.sampler}, and {count} others")
    many = model.table(reference)
    near, others = (Distance(model, many, count, seed=seed, first=first) for first in (0, count))

    def table(sampler: str, times: Array) -> Array:
        return kind.table(process, sampler, 0.0, on_grid(times))

    def on_grid(times: Array) -> Array:
        return times if kind.grid % 1 else times.astype(int)

    starts = _starts(kind, process, steps, table, near)
    best, measured = min(starts, key=lambda start: start.error), len(starts)
    before = _before(model, steps, starts)
    first, ceiling = near(model.table(before)), kind.times(process, 1, TRAILING)[0] + kind.grid
    say(f"{before.sampler}: {first:.4f} away; the nearest spacing, {_named(best)}: {best.error:.4f}")
    for sampler in {start.sampler: None for start in starts}:
        start = min((one for one in starts if one.sampler == sampler), key=lambda one: one.error)
        found = search(
            lambda times, sampler=sampler: near(table(sampler, times)),  # type: ignore[misc]
            start.times,
            grid=kind.grid, floor=kind.floor, ceiling=ceiling, budget=budget // 2,
        )  # fmt: skip
        measured += found.measured
        say(f"{sampler}: {found.error:.4f} after {found.measured} plans")
        if found.error < best.error:
            best = _Start(found.error, sampler, SEARCHED, found.times)
    recipe, chosen = SamplerSpec(_named(best), steps), table(best.sampler, best.times)
    record = {
        "reference": reference._asdict(), "images": count, "seed": seed, "plans": measured,
        "before": {**before._asdict(), "error": first, "others": others(model.table(before))},
        "after": {"times": on_grid(best.times).tolist(), "error": best.error, "others": others(chosen)},
    }  # fmt: skip
    return Tuned(recipe, chosen, record)


def _named(start: _Start) -> str:
    return named_by(start.sampler, start.spacing)


def _starts(kind: Kind, process: Any, steps: int, table: Callable[[str, Array], Array], near: Distance) -> list[_Start]:
    """The spacings of each sampler that adds no noise, with their errors."""
    starts = []
    for sampler in kind.samplers:
        for spacing in kind.spacings:
            times = kind.times(process, steps, spacing)
            rows = table(sampler, times)
            if not rows[:, COLUMNS.index("noise")].any() and np.isfinite(error := near(rows)):
                starts.append(_Start(error, sampler, spacing, times))
    if not starts:
        raise JaxgenError("no plan of this model gives finite images; its weights have diverged")
    return starts


def _before(model: Model, steps: int, starts: list[_Start]) -> SamplerSpec:
    """What the file does now with these steps, without noise: its own sampler, or the first that has none."""
    own = choose(model.inference, steps=steps)
    sampler, spacing = parts(own.sampler)
    names = {start.sampler for start in starts}
    if sampler not in names:
        sampler, spacing = starts[0].sampler, TRAILING
    return SamplerSpec(named_by(sampler, TRAILING if spacing == SEARCHED else spacing), steps)
