"""The config sections of each family's training objective and sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxgen.config.common import RESUMABLE, Resumable
from jaxgen.config.schema import require
from jaxgen.sampling.plan import FLOW_SAMPLERS, SAMPLERS
from jaxgen.sampling.process import MAX_GUIDANCE, MAX_STEPS, Diffusion, Flow
from jaxgen.sampling.sampler_spec import SamplerSpec, named_by
from jaxgen.sampling.spacing import FLOW_SPACINGS, SPACINGS, TRAILING


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    steps: int = 1000  # T
    schedule: Literal["linear", "cosine", "sigmoid"] = "linear"
    beta_start: float = 1e-4  # linear schedule only
    beta_end: float = 0.02
    prediction: Literal["eps", "x0", "v", "edm"] = "eps"  # edm: preconditioned as in Karras et al. 2022
    weighting: Literal["simple", "min-snr"] = "simple"
    min_snr_gamma: float = 5.0
    # Of training timesteps: uniform or logit-normal over t / T, or log-normal over noise levels (Karras et al. 2022).
    times: Literal["uniform", "logit-normal", "log-normal"] = "uniform"
    # The default plan of an exported file.
    sampler: str = field(default="ddim", metadata={"choices": SAMPLERS})
    sampler_steps: int = 50
    spacing: str = field(default=TRAILING, metadata={"choices": SPACINGS})  # of its times
    eta: float = 0.0
    guidance: float = 1.0  # classifier-free guidance scale of that plan (model.classes > 0)

    def __post_init__(self) -> None:
        require(self.sampler in SAMPLERS, "diffusion.sampler", f"one of {', '.join(SAMPLERS)}", self.sampler)
        require(1 <= self.steps <= MAX_STEPS, "diffusion.steps", f"from 1 to {MAX_STEPS}", self.steps)
        require(0 < self.beta_end < 1, "diffusion.beta_end", "between 0 and 1", self.beta_end)
        up_to = f"above 0, up to diffusion.beta_end ({self.beta_end})"
        require(0 < self.beta_start <= self.beta_end, "diffusion.beta_start", up_to, self.beta_start)
        up_to = f"from 1 to diffusion.steps ({self.steps})"
        require(1 <= self.sampler_steps <= self.steps, "diffusion.sampler_steps", up_to, self.sampler_steps)
        require(self.spacing in SPACINGS, "diffusion.spacing", f"one of {', '.join(SPACINGS)}", self.spacing)
        require(0 <= self.eta <= 1, "diffusion.eta", "in [0, 1]", self.eta)
        eta_is_taken = SAMPLERS[self.sampler].takes_eta or not self.eta
        require(eta_is_taken, "diffusion.eta", f"0 for {self.sampler}", self.eta)
        require(0 <= self.guidance <= MAX_GUIDANCE, "diffusion.guidance", f"from 0 to {MAX_GUIDANCE}", self.guidance)
        require(self.min_snr_gamma > 0, "diffusion.min_snr_gamma", "> 0", self.min_snr_gamma)

    @property
    def process(self) -> Diffusion:
        """The process of its plans."""
        return Diffusion(
            steps=self.steps, schedule=self.schedule, beta_start=self.beta_start, beta_end=self.beta_end,
            prediction=self.prediction,
        )  # fmt: skip

    @property
    def plan(self) -> SamplerSpec:
        """The default plan's recipe; a sampler of every step takes all T steps."""
        steps = self.steps if SAMPLERS[self.sampler].every_step else self.sampler_steps
        return SamplerSpec(named_by(self.sampler, self.spacing), steps, self.eta)


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Rectified flow: x_t = (1 - t) x_0 + t eps, and the network predicts eps - x_0 (Liu et al. 2023)."""

    time_scale: float = 1000.0  # the network's timestep is t * time_scale
    times: Literal["uniform", "logit-normal"] = "uniform"  # distribution of training times (Esser et al. 2024)
    sampler: str = field(default="euler", metadata={"choices": FLOW_SAMPLERS})
    sampler_steps: int = 50
    spacing: str = field(default=TRAILING, metadata={"choices": FLOW_SPACINGS})
    guidance: float = 1.0  # classifier-free guidance scale (model.classes > 0)

    def __post_init__(self) -> None:
        require(self.sampler in FLOW_SAMPLERS, "flow.sampler", f"one of {', '.join(FLOW_SAMPLERS)}", self.sampler)
        require(0 < self.time_scale <= 1e6, "flow.time_scale", "above 0, up to 1e6", self.time_scale)
        up_to = f"from 1 to {MAX_STEPS}"
        require(1 <= self.sampler_steps <= MAX_STEPS, "flow.sampler_steps", up_to, self.sampler_steps)
        require(self.spacing in FLOW_SPACINGS, "flow.spacing", f"one of {', '.join(FLOW_SPACINGS)}", self.spacing)
        require(0 <= self.guidance <= MAX_GUIDANCE, "flow.guidance", f"from 0 to {MAX_GUIDANCE}", self.guidance)

    @property
    def process(self) -> Flow:
        """The process of its plans."""
        return Flow(time_scale=self.time_scale)

    @property
    def plan(self) -> SamplerSpec:
        """The default plan's recipe."""
        return SamplerSpec(named_by(self.sampler, self.spacing), self.sampler_steps)


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """How a student of few steps learns from its teacher (`jaxgen distill`); its own plan is that of its process."""

    method: Literal["none", "reflow", "consistency", "adversarial"] = "none"  # none: it learns from images
    teacher_steps: int = 12  # of the teacher's plan; a multiple of the student's sampler_steps
    teacher_guidance: float = 1.0  # which the student learns to do without (model.classes > 0)
    pairs: int = 20_000  # images of the teacher that reflow and adversarial learn from
    adversarial_weight: float = field(default=0.1, metadata=RESUMABLE)  # of the discriminator's opinion

    def __post_init__(self) -> None:
        require(1 <= self.teacher_steps <= MAX_STEPS, "distillation.teacher_steps", f"from 1 to {MAX_STEPS}",
                self.teacher_steps)  # fmt: skip
        scale = self.teacher_guidance
        require(0 <= scale <= MAX_GUIDANCE, "distillation.teacher_guidance", f"from 0 to {MAX_GUIDANCE}", scale)
        require(1 <= self.pairs <= 10_000_000, "distillation.pairs", "from 1 to 10000000", self.pairs)
        require(self.adversarial_weight >= 0, "distillation.adversarial_weight", ">= 0", self.adversarial_weight)


@dataclass(frozen=True, kw_only=True)
class VAEObjective(Resumable):
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    sigma: float = 0.1  # of the Gaussian likelihood, for pixels in [0, 1]
    beta: float = 1.0  # weight of the KL term (Higgins et al. 2017)
    free_bits: float = 0.0  # free nats of KL per latent dimension (Kingma et al. 2016)
    samples: int = 1  # importance samples; more than 1: the bound of the IWAE (Burda et al. 2016)
    binarization: Literal["none", "dynamic"] = "none"  # dynamic: pixels are resampled in each step

    def __post_init__(self) -> None:
        require(self.sigma > 0, "vae.sigma", "> 0", self.sigma)
        require(self.beta >= 0, "vae.beta", ">= 0", self.beta)
        require(self.free_bits >= 0, "vae.free_bits", ">= 0", self.free_bits)
        require(1 <= self.samples <= 10_000, "vae.samples", "from 1 to 10000", self.samples)
        plain = self.samples == 1 or (self.beta == 1 and self.free_bits == 0)
        require(plain, "vae.samples", "1 where beta is not 1 or free_bits not 0", self.samples)


@dataclass(frozen=True, kw_only=True)
class GANObjective(Resumable):
    loss: Literal["non-saturating", "hinge", "wgan-gp"] = "non-saturating"
    gradient_penalty: float = 10.0  # wgan-gp only
    critic_steps: int = 1  # discriminator steps per generator step, each on its own part of the batch
    discriminator_lr: float = 0.0  # 0: training.lr

    def __post_init__(self) -> None:
        require(self.gradient_penalty >= 0, "gan.gradient_penalty", ">= 0", self.gradient_penalty)
        require(1 <= self.critic_steps <= 100, "gan.critic_steps", "from 1 to 100", self.critic_steps)
        require(self.discriminator_lr >= 0, "gan.discriminator_lr", ">= 0", self.discriminator_lr)
