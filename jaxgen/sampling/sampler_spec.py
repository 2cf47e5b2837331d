"""From what a model was trained for to the plans it can run: each a recipe, and the table that the recipe makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxgen.config import DiffusionConfig, FlowConfig, Process
from jaxgen.errors import UsageError, lookup
from jaxgen.sampling.plan import alpha_bar, euler, make_plan


class Recipe(NamedTuple):
    """What a person may say of a plan."""

    sampler: str
    steps: int
    eta: float = 0.0


@dataclass(frozen=True)
class Kind:
    """What the recipes of one kind of process are: the choice of steps for a sampler, the table of a recipe, those
    that every file names; and the shares of x0 and of noise in x at the times [S] that the network is told, [S] each.
    """

    steps: Callable[[Any, str], int]
    table: Callable[[Any, Recipe], np.ndarray]
    named: Callable[[Any], list[Recipe]]
    levels: Callable[[Any, np.ndarray], tuple[np.ndarray, np.ndarray]]


def schedule_of(diffusion: DiffusionConfig) -> np.ndarray:
    """The `alpha_bar` that a config names: [T] float64."""
    return alpha_bar(diffusion.schedule, diffusion.steps, diffusion.beta_start, diffusion.beta_end)


def _diffusion_table(process: DiffusionConfig, recipe: Recipe) -> np.ndarray:
    return make_plan(schedule_of(process), prediction=process.prediction, **recipe._asdict())


def _flow_table(process: FlowConfig, recipe: Recipe) -> np.ndarray:
    lookup({"euler": None}, recipe.sampler, "sampler")
    if recipe.eta:
        raise UsageError(f"eta must be 0 for {recipe.sampler!r}, got {recipe.eta}")
    return euler(recipe.steps, process.time_scale)


def _diffusion_named(process: DiffusionConfig) -> list[Recipe]:
    usual = (("ddim", 50), ("ddim", 20), ("dpmpp-2m", 20), ("dpmpp-2m", 10), ("ancestral", process.steps))
    return [Recipe(sampler, min(steps, process.steps)) for sampler, steps in usual]


def _diffusion_levels(process: DiffusionConfig, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = schedule_of(process)[times.round().astype(int)]
    return np.sqrt(kept), np.sqrt(1 - kept)


KINDS: dict[type, Kind] = {
    DiffusionConfig: Kind(
        steps=lambda process, sampler: process.steps if sampler == "ancestral" else process.sampler_steps,
        table=_diffusion_table,
        named=_diffusion_named,
        levels=_diffusion_levels,
    ),
    FlowConfig: Kind(
        steps=lambda process, sampler: process.sampler_steps,
        table=_flow_table,
        named=lambda process: [Recipe("euler", steps) for steps in (50, 20, 10)],
        levels=lambda process, times: (1 - times / process.time_scale, times / process.time_scale),
    ),
}


def choose(
    process: Process, *, sampler: str | None = None, steps: int | None = None, eta: float | None = None
) -> Recipe:
    """The recipe that a model asks for; what is given here replaces its config's choice.

    'ancestral' takes all T steps unless `steps` says otherwise.
    """
    sampler = process.sampler if sampler is None else sampler
    if steps is None:
        steps = KINDS[type(process)].steps(process, sampler)
    if eta is None:
        eta = getattr(process, "eta", 0.0) if sampler == process.sampler else 0.0
    return Recipe(sampler, steps, eta)


def table(process: Process, recipe: Recipe) -> np.ndarray:
    """The plan of a recipe, float32 [S, 9]; see `jaxgen.sampling.plan`.

    Raises UsageError for a sampler that this process does not have, steps outside 1 to T, eta outside [0, 1], or one
    above 0 for a sampler other than 'ddim'.
    """
    return KINDS[type(process)].table(process, recipe)


def from_config(
    process: Process, *, sampler: str | None = None, steps: int | None = None, eta: float | None = None
) -> np.ndarray:
    """`table` of what `choose` chooses."""
    return table(process, choose(process, sampler=sampler, steps=steps, eta=eta))


def named(process: Process) -> dict[str, Recipe]:
    """The plans that every exported file names, for clients that cannot compute one."""
    return {f"{recipe.sampler}-{recipe.steps}": recipe for recipe in KINDS[type(process)].named(process)}
