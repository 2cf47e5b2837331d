"""From what a model was trained for to the plans it can run: each a recipe, and the table that the recipe makes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jaxgen import __version__
from jaxgen.errors import UsageError, lookup
from jaxgen.sampling.plan import PREDICTIONS, SAMPLERS, alpha_bar, euler, make_plan
from jaxgen.sampling.process import SCHEDULES, Diffusion, Flow, Process, SamplerSpec, Unknown

USUAL_STEPS = 50


class Source(Protocol):
    """What has a process and a plan of its own: a config, one of its sections, the inference section of a file."""

    @property
    def process(self) -> Process | None: ...

    @property
    def plan(self) -> SamplerSpec | None: ...


@dataclass(frozen=True)
class Kind:
    """What the recipes of one kind of process are: the samplers, the table of a recipe, those that every file names;
    and the shares of x0 and of noise in x at the times [S] that the network is told, [S] each.
    """

    samplers: Collection[str]
    table: Callable[[Any, SamplerSpec], np.ndarray]
    named: Callable[[Any], list[SamplerSpec]]
    levels: Callable[[Any, np.ndarray], tuple[np.ndarray, np.ndarray]]


def schedule_of(diffusion: Diffusion) -> np.ndarray:
    """The `alpha_bar` of a diffusion: [T] float64."""
    return alpha_bar(diffusion.schedule, diffusion.steps, diffusion.beta_start, diffusion.beta_end)


def _diffusion_table(process: Diffusion, recipe: SamplerSpec) -> np.ndarray:
    sampler, steps, eta = recipe
    return make_plan(
        schedule_of(process), sampler=sampler, steps=steps, eta=eta, prediction=process.prediction, clip=process.clip
    )


def _flow_table(process: Flow, recipe: SamplerSpec) -> np.ndarray:
    lookup({"euler": None}, recipe.sampler, "sampler")
    if recipe.eta:
        raise UsageError(f"eta must be 0 for {recipe.sampler!r}, got {recipe.eta}")
    return euler(recipe.steps, process.time_scale)


def _diffusion_named(process: Diffusion) -> list[SamplerSpec]:
    usual = (("ddim", 50), ("ddim", 20), ("dpmpp-2m", 20), ("dpmpp-2m", 10), ("ancestral", process.steps))
    return [SamplerSpec(sampler, min(steps, process.steps)) for sampler, steps in usual]


def _diffusion_levels(process: Diffusion, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = schedule_of(process)[times.round().astype(int)]
    return np.sqrt(kept), np.sqrt(1 - kept)


KINDS: dict[type, Kind] = {
    Diffusion: Kind(
        samplers=SAMPLERS,
        table=_diffusion_table,
        named=_diffusion_named,
        levels=_diffusion_levels,
    ),
    Flow: Kind(
        samplers=("euler",),
        table=_flow_table,
        named=lambda process: [SamplerSpec("euler", steps) for steps in (50, 20, 10)],
        levels=lambda process, times: (1 - times / process.time_scale, times / process.time_scale),
    ),
}


def unknown_part(process: Process) -> str | None:
    """What of a process this jaxgen does not know, in words; None: nothing, and plans can be made."""
    if isinstance(process, Unknown):
        return f"process {process.kind!r}"
    if isinstance(process, Diffusion) and process.schedule not in SCHEDULES:
        return f"noise schedule {process.schedule!r}"
    if isinstance(process, Diffusion) and process.prediction not in PREDICTIONS:
        return f"prediction {process.prediction!r}"
    return None


def samplers(source: Source) -> list[str]:
    """Those that a source's plans may take, its own among them; [] where there is no process."""
    process, own = source.process, source.plan
    if process is None or own is None:
        return []
    known = set() if unknown_part(process) else set(KINDS[type(process)].samplers)
    return sorted(known | {own.sampler})


def can_make(process: Process, recipe: SamplerSpec) -> bool:
    """Whether this jaxgen knows the process and the recipe's sampler."""
    return unknown_part(process) is None and recipe.sampler in KINDS[type(process)].samplers


def kind_of(process: Process) -> Kind:
    """Raises UsageError for a process, or a part of it, that this jaxgen does not know."""
    if unknown := unknown_part(process):
        raise UsageError(
            f"jaxgen {__version__} does not know the model's {unknown}: it runs the file's own plan and can make no "
            "other; upgrade jaxgen"
        )
    return KINDS[type(process)]


def choose(
    source: Source, *, sampler: str | None = None, steps: int | None = None, eta: float | None = None
) -> SamplerSpec:
    """The recipe that a model asks for; what is given here replaces the choice of its own plan.

    'ancestral' takes all T steps unless `steps` says otherwise; another sampler as many as the own plan, unless that
    is ancestral. Raises UsageError where there is no process.
    """
    process, own = source.process, source.plan
    if process is None or own is None:
        raise UsageError("the model samples in one evaluation: it has no plan")
    sampler = own.sampler if sampler is None else sampler
    if steps is None:
        steps = own.steps if sampler == own.sampler else _steps_of_another(process, own, sampler)
    if eta is None:
        eta = own.eta if sampler == own.sampler else 0.0
    return SamplerSpec(sampler, steps, eta)


def _steps_of_another(process: Process, own: SamplerSpec, sampler: str) -> int:
    if sampler == "ancestral":
        return process.max_steps
    return min(USUAL_STEPS, process.max_steps) if own.sampler == "ancestral" else own.steps


def table(process: Process, recipe: SamplerSpec) -> np.ndarray:
    """The plan of a recipe, float32 [S, 9]; see `jaxgen.sampling.plan`.

    Raises UsageError for a process that is not known here, a sampler that it does not have, steps outside 1 to T, eta
    outside [0, 1], or one above 0 for a sampler other than 'ddim'.
    """
    return kind_of(process).table(process, recipe)


def from_config(
    source: Source, *, sampler: str | None = None, steps: int | None = None, eta: float | None = None
) -> np.ndarray:
    """`table` of what `choose` chooses; source: a config, or one of its sections."""
    recipe = choose(source, sampler=sampler, steps=steps, eta=eta)
    assert source.process is not None  # `choose` said so
    return table(source.process, recipe)


def named(process: Process) -> dict[str, SamplerSpec]:
    """The plans that every exported file names, for clients that cannot compute one."""
    return {f"{recipe.sampler}-{recipe.steps}": recipe for recipe in kind_of(process).named(process)}
