"""The processes that models learn to reverse, from which `jaxgen.sampling.sampler_spec` makes plans.

Both a config (`Config.process`) and a file's manifest describe one, independently of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_GUIDANCE = 100
MAX_STEPS = 100_000  # of a process, and of a plan
SCHEDULES = ("linear", "cosine", "sigmoid")  # those of `jaxgen.sampling.plan.alpha_bar`


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """Noise added in steps (Ho et al. 2020). An unknown schedule or prediction makes no plans."""

    steps: int  # T
    schedule: str = "linear"
    beta_start: float = 1e-4  # linear schedule only
    beta_end: float = 0.02
    prediction: str = "eps"  # the network's output: of `jaxgen.sampling.plan.PREDICTIONS`
    clip: float = 1.0  # x0 is clipped to [-clip, clip]; inf: no clipping

    @property
    def max_steps(self) -> int:
        """The most steps of a plan."""
        return self.steps


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Straight paths from images to noise (Liu et al. 2023); the network takes t * time_scale, t in [0, 1]."""

    time_scale: float = 1000.0

    @property
    def max_steps(self) -> int:
        return MAX_STEPS


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A process of a newer jaxgen: only the file's own plan can run."""

    kind: str

    @property
    def max_steps(self) -> int:
        return MAX_STEPS


Process = Diffusion | Flow | Unknown
