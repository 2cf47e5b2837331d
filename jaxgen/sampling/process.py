"""What a model learned to undo: from a process, `jaxgen.sampling.sampler_spec` makes the plans that a file can run.

A config makes one (`Config.process`), and so does a file's manifest; neither knows of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MAX_GUIDANCE = 100
MAX_STEPS = 100_000  # of a process, and of a plan
SCHEDULES = ("linear", "cosine", "sigmoid")  # those of `jaxgen.sampling.plan.alpha_bar`


class SamplerSpec(NamedTuple):
    """What a person may say of a plan."""

    sampler: str
    steps: int
    eta: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """Noise added in steps (Ho et al. 2020). A schedule or prediction that is not known here makes no plans."""

    steps: int  # T
    schedule: str = "linear"
    beta_start: float = 1e-4  # linear schedule only
    beta_end: float = 0.02
    prediction: str = "eps"  # what the network says: of `jaxgen.sampling.plan.PREDICTIONS`
    clip: float = 1.0  # x0 is clipped to [-clip, clip]; inf: not at all

    @property
    def max_steps(self) -> int:
        """The most that a plan of it can have."""
        return self.steps


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Straight paths from images to noise (Liu et al. 2023); the network is told t * time_scale, t in [0, 1]."""

    time_scale: float = 1000.0

    @property
    def max_steps(self) -> int:
        return MAX_STEPS


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A process of a kind that a newer jaxgen knows: the file's own plan runs, and no other can be made."""

    kind: str

    @property
    def max_steps(self) -> int:
        return MAX_STEPS


Process = Diffusion | Flow | Unknown
