"""The plans of a model: which recipes its process allows, and the table of each recipe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxgen import __version__
from jaxgen.errors import UsageError, lookup
from jaxgen.sampling.plan import FLOW_SAMPLERS, PREDICTIONS, SAMPLERS, Sampler, alpha_bar, make_plan
from jaxgen.sampling.process import SCHEDULES, Diffusion, Flow, Process, Unknown
from jaxgen.sampling.spacing import FLOW_SPACINGS, SPACINGS, TRAILING, flow_spaced, spaced

USUAL_STEPS = 50
SEARCHED = "searched"  # the spacing of a plan whose times were searched for one model: its file alone has them
MARK = "@"  # in a sampler's name, before its spacing


class SamplerSpec(NamedTuple):
    """The recipe of a plan.

    sampler: its name, which says the spacing of its times unless that is 'trailing': 'ddim', 'ddim@karras'. So a jaxgen
    that does not know spacings takes it for an unknown sampler, and runs the table that the file holds.
    """

    sampler: str
    steps: int
    eta: float = 0.0


def parts(name: str) -> tuple[str, str]:
    """The sampler and the spacing in a recipe's name: ('ddim', 'karras') of 'ddim@karras'."""
    sampler, _, spacing = name.partition(MARK)
    return sampler, spacing or TRAILING


def named_by(sampler: str, spacing: str) -> str:
    """The name of a sampler with a spacing, the inverse of `parts`."""
    return sampler if spacing == TRAILING else f"{sampler}{MARK}{spacing}"


class Source(Protocol):
    """An object with a process and a default plan: a config, one of its sections, or a file's inference section."""

    @property
    def process(self) -> Process | None: ...

    @property
    def plan(self) -> SamplerSpec | None: ...


@dataclass(frozen=True)
class Kind:
    """The recipes of one kind of process: its samplers, its spacings, the times of (process, steps, spacing), the table
    of (process, sampler, eta, times), the recipes that every file names, and the scales of x0 and of the noise in x at
    the network's timesteps [S], [S] each.

    A search moves times in steps of `grid`, above `floor`, and judges them by many steps of the sampler `finest`.
    """

    samplers: Mapping[str, Sampler]
    table: Callable[[Any, str, float, np.ndarray], np.ndarray]
    named: Callable[[Any], list[SamplerSpec]]
    levels: Callable[[Any, np.ndarray], tuple[np.ndarray, np.ndarray]]
    times: Callable[[Any, int, str], np.ndarray]
    spacings: Collection[str]
    finest: str
    grid: float = 1
    floor: float = -1


def schedule_of(diffusion: Diffusion) -> np.ndarray:
    """The `alpha_bar` of a diffusion process: [T] float64."""
    return alpha_bar(diffusion.schedule, diffusion.steps, diffusion.beta_start, diffusion.beta_end)


def _diffusion_table(process: Diffusion, sampler: str, eta: float, times: np.ndarray) -> np.ndarray:
    return make_plan(
        schedule_of(process), sampler=sampler, times=times, eta=eta, prediction=process.prediction, clip=process.clip
    )


def _flow_table(process: Flow, sampler: str, eta: float, times: np.ndarray) -> np.ndarray:
    chosen = lookup(FLOW_SAMPLERS, sampler, "sampler")
    if eta:
        raise UsageError(f"eta must be 0 for {sampler!r}, got {eta}")
    return chosen.function(len(times), process.time_scale, times)


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
        times=lambda process, steps, spacing: spaced(schedule_of(process), steps, spacing),
        spacings=SPACINGS,
        finest="dpmpp-2m",
    ),
    Flow: Kind(
        samplers=FLOW_SAMPLERS,
        table=_flow_table,
        named=lambda process: [SamplerSpec("euler", steps) for steps in (50, 20, 10)],
        levels=lambda process, times: (1 - times / process.time_scale, times / process.time_scale),
        times=lambda process, steps, spacing: flow_spaced(steps, spacing),
        spacings=FLOW_SPACINGS,
        finest="euler",
        grid=1e-3,
        floor=0,
    ),
}


def unknown_part(process: Process) -> str | None:
    """The part of a process that this jaxgen does not know, in words; None if plans can be made."""
    if isinstance(process, Unknown):
        return f"process {process.kind!r}"
    if isinstance(process, Diffusion) and process.schedule not in SCHEDULES:
        return f"noise schedule {process.schedule!r}"
    if isinstance(process, Diffusion) and process.prediction not in PREDICTIONS:
        return f"prediction {process.prediction!r}"
    return None


def samplers(source: Source) -> list[str]:
    """The samplers of a source's plans, including its own; [] without a process."""
    process, own = source.process, source.plan
    if process is None or own is None:
        return []
    known = set() if unknown_part(process) else set(KINDS[type(process)].samplers)
    return sorted(known | {own.sampler})


def sampler_of(process: Process, name: str) -> Sampler | None:
    """The sampler of this name for a process; None if this jaxgen does not know the process or the sampler."""
    return None if unknown_part(process) else KINDS[type(process)].samplers.get(parts(name)[0])


def can_make(process: Process, recipe: SamplerSpec) -> bool:
    """Whether this jaxgen knows the process and the recipe's sampler and spacing."""
    known = sampler_of(process, recipe.sampler) is not None
    return known and parts(recipe.sampler)[1] in KINDS[type(process)].spacings


def takes_eta(process: Process, name: str) -> bool:
    """Whether eta changes the plans of this sampler; a searched one has the eta that it was found with."""
    sampler = sampler_of(process, name)
    return sampler is not None and sampler.takes_eta and parts(name)[1] != SEARCHED


def kind_of(process: Process) -> Kind:
    """The kind of a process. Raises UsageError if this jaxgen does not know the process or a part of it."""
    if unknown := unknown_part(process):
        raise UsageError(
            f"jaxgen {__version__} does not know the model's {unknown}: it runs the file's own plan and can make no "
            "other; upgrade jaxgen"
        )
    return KINDS[type(process)]


def choose(
    source: Source,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    eta: float | None = None,
    spacing: str | None = None,
) -> SamplerSpec:
    """The recipe of a model's own plan, with the given settings replaced.

    By default, a sampler of every step takes all T steps, and another one as many as the own plan, unless that is of
    every step. The spacing is the own plan's where no sampler is given, else what the sampler's name says; a searched
    plan of other steps or another eta than it was found for has trailing times.
    Raises UsageError without a process.
    """
    process, own = source.process, source.plan
    if process is None or own is None:
        raise UsageError("the model samples in one evaluation: it has no plan")
    own_sampler, own_spacing = parts(own.sampler)
    sampler, named_spacing = (own_sampler, None) if sampler is None else parts(sampler)
    if steps is None:
        steps = own.steps if sampler == own_sampler else _steps_of_another(process, own, sampler)
    if eta is None:
        eta = own.eta if sampler == own_sampler else 0.0
    if spacing is None and named_spacing is None:
        moved = own_spacing == SEARCHED and (steps, eta) != own[1:]
        spacing = TRAILING if moved else own_spacing
    return SamplerSpec(named_by(sampler, spacing or named_spacing or TRAILING), steps, eta)


def _steps_of_another(process: Process, own: SamplerSpec, sampler: str) -> int:
    def every_step(name: str) -> bool:
        known = sampler_of(process, name)
        return known is not None and known.every_step

    if every_step(sampler):
        return process.max_steps
    return min(USUAL_STEPS, process.max_steps) if every_step(own.sampler) else own.steps


def table(process: Process, recipe: SamplerSpec) -> np.ndarray:
    """The plan of a recipe, float32 [S, 9]; see `jaxgen.sampling.plan`.

    Raises UsageError for an unknown process, sampler or spacing, steps outside 1 to T, eta outside [0, 1], or eta above
    0 for a sampler that takes none.
    """
    kind, (sampler, spacing) = kind_of(process), parts(recipe.sampler)
    lookup(kind.samplers, sampler, "sampler")
    if spacing == SEARCHED:
        raise UsageError(
            f"{recipe.sampler!r} with {recipe.steps} steps: a searched plan is the default of a file of 'jaxgen tune', "
            "with the steps that it was made for; choose another spacing, or tune the model"
        )
    return kind.table(process, sampler, recipe.eta, kind.times(process, recipe.steps, spacing))


def from_config(
    source: Source, *, sampler: str | None = None, steps: int | None = None, eta: float | None = None
) -> np.ndarray:
    """The `table` of the recipe that `choose` returns; source: a config, or one of its sections."""
    recipe = choose(source, sampler=sampler, steps=steps, eta=eta)
    assert source.process is not None  # `choose` raises otherwise
    return table(source.process, recipe)


def named(process: Process) -> dict[str, SamplerSpec]:
    """The recipes of the plans in every exported file, for clients that cannot compute plans."""
    return {f"{recipe.sampler}-{recipe.steps}": recipe for recipe in kind_of(process).named(process)}
