"""The families, each as the config of a whole run: its sections, and the properties that other modules use.

A family has one entry here and one in each layer above: its network (jaxgen.models.network), its training
(jaxgen.training.families) and its PyTorch model (jaxgen_export.torch_models).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from jaxgen.config.common import DataConfig, TrainingConfig
from jaxgen.config.networks import ClassifierConfig, GANConfig, UNetConfig, VAEConfig
from jaxgen.config.objectives import DiffusionConfig, DistillationConfig, FlowConfig, GANObjective, VAEObjective
from jaxgen.config.schema import require
from jaxgen.sampling.process import Process
from jaxgen.sampling.sampler_spec import SamplerSpec

NetworkConfig = UNetConfig | VAEConfig | GANConfig | ClassifierConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """The config of a run, which determines it together with the data: the part that all families share."""

    name: str = "custom"
    family: str
    data: DataConfig = field(default_factory=DataConfig)
    model: NetworkConfig
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        plain = self.name.isprintable() and 0 < len(self.name) <= 100 and not {"/", "\\"} & set(self.name)
        require(plain and self.name not in (".", ".."), "name", "1 to 100 characters, fit for a folder", self.name)

    @property
    def class_count(self) -> int:
        """0: unconditional."""
        return self.model.classes

    @property
    def process(self) -> Process | None:
        """The process of its plans; None if an image is one evaluation of the network on noise index 0."""
        section = self.sampling
        return section.process if section else None

    @property
    def plan(self) -> SamplerSpec | None:
        """The recipe of an exported file's default plan; None without a process."""
        section = self.sampling
        return section.plan if section else None

    @property
    def guidance(self) -> float:
        """The classifier-free guidance scale of the default plan; 1 without a process."""
        section = self.sampling
        return section.guidance if section else 1.0

    @property
    def sampling(self) -> DiffusionConfig | FlowConfig | None:
        """The section of the process for training and sampling, or None."""
        return None

    @property
    def distilled(self) -> DistillationConfig | None:
        """How it learns to sample in few steps from a teacher; None if it learns otherwise."""
        return None

    @property
    def likelihood(self) -> tuple[str, float] | None:
        """The likelihood of an image given its latent, and the deviation sigma of a Gaussian one; None: the family has
        no likelihood."""
        return None

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The shape of one image's noise, for generative models."""
        return self.data.shape

    @property
    def is_generator(self) -> bool:
        """Whether the model generates images; else it reads them."""
        return True

    @property
    def null_class(self) -> bool:
        """Whether a conditional model can also sample without a class (label -1)."""
        return self.process is not None

    @property
    def encoder_label(self) -> bool:
        """Whether the model has an encoder that takes the class of an image besides the image."""
        return False

    @property
    def convolutional(self) -> bool:
        """Whether its network has convolutions, which XLA compiles badly inside loops on CPU."""
        return True

    def model_changes(self, size: int) -> dict[str, Any]:
        """The changes of the `model` section for images of another size."""
        return {}

    def _require_halvings(self, count: int, key: str) -> None:
        size, shrink = self.data.size, 2**count
        require(size % shrink == 0, "data.size", f"a multiple of {shrink} for {key}", size)


@dataclass(frozen=True, kw_only=True)
class UNetRun(Config):
    """The part of the config that UNet families share."""

    model: UNetConfig = field(default_factory=UNetConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        levels, size, patch = len(self.model.multipliers), self.data.size, self.model.patch
        shrink = patch * 2 ** (levels - 1)
        what = f"{levels} levels" + (f" on patches of {patch}" if patch > 1 else "")
        require(size % shrink == 0, "data.size", f"a multiple of {shrink} for {what}", size)
        sizes = [size // patch // 2**level for level in range(levels)]
        among = f"among the levels' sizes {sizes}"
        require(set(self.model.attention) <= set(sizes), "model.attention", among, self.model.attention)

    @property
    def distilled(self) -> DistillationConfig | None:
        return None if self.distillation.method == "none" else self.distillation

    def model_changes(self, size: int) -> dict[str, Any]:
        return {"attention": (size // 4,)} if self.model.attention else {}

    def _require_guided(self, scale: float, key: str) -> None:
        require(self.model.classes > 0 or scale == 1, key, "1 without classes (model.classes = 0)", scale)

    def _require_distillable(self) -> None:
        """Check the section `distillation` against the plan and the training."""
        section, plan, process = self.distilled, self.plan, self.process
        if section is None or plan is None or process is None:
            return
        self._require_guided(section.teacher_guidance, "distillation.teacher_guidance")
        whole = section.teacher_steps % plan.steps == 0 and section.teacher_steps <= process.max_steps
        expected = f"a multiple of the student's {plan.steps} steps, up to {process.max_steps}"
        require(whole, "distillation.teacher_steps", expected, section.teacher_steps)
        require(self.training.steps > 0, "training.steps", "above 0 for a student", self.training.steps)
        batch = self.training.batch_size
        require(section.pairs >= batch, "distillation.pairs", f"at least a batch ({batch})", section.pairs)


@dataclass(frozen=True, kw_only=True)
class DDPM(UNetRun):
    """Denoising diffusion (Ho et al. 2020)."""

    family: Literal["ddpm"] = "ddpm"
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_guided(self.diffusion.guidance, "diffusion.guidance")
        self._require_distillable()

    @property
    def sampling(self) -> DiffusionConfig:
        return self.diffusion


@dataclass(frozen=True, kw_only=True)
class Flow(UNetRun):
    """Rectified flow, or conditional flow matching on straight paths (Liu et al. 2023; Lipman et al. 2023)."""

    family: Literal["flow"] = "flow"
    flow: FlowConfig = field(default_factory=FlowConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_guided(self.flow.guidance, "flow.guidance")
        self._require_distillable()

    @property
    def sampling(self) -> FlowConfig:
        return self.flow


@dataclass(frozen=True, kw_only=True)
class VAE(Config):
    """Variational autoencoder (Kingma & Welling 2014), conditional if the model has classes."""

    family: Literal["vae"] = "vae"
    model: VAEConfig = field(default_factory=VAEConfig)
    vae: VAEObjective = field(default_factory=VAEObjective)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_halvings(len(self.model.convolutions), "model.convolutions")

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self.model.latent,)

    @property
    def likelihood(self) -> tuple[str, float]:
        return self.vae.likelihood, self.vae.sigma

    @property
    def encoder_label(self) -> bool:
        return self.model.encoder_label

    @property
    def convolutional(self) -> bool:
        return bool(self.model.convolutions)


@dataclass(frozen=True, kw_only=True)
class GAN(Config):
    """Generative adversarial network (Goodfellow et al. 2014), conditional if the model has classes."""

    family: Literal["gan"] = "gan"
    model: GANConfig = field(default_factory=GANConfig)
    gan: GANObjective = field(default_factory=GANObjective)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_halvings(self.model.doublings, "model.doublings")
        steps, batch = self.gan.critic_steps, self.training.batch_size
        multiple = f"a multiple of gan.critic_steps ({steps}), as {batch * steps} is"
        require(batch % steps == 0, "training.batch_size", multiple, batch)
        plain = self.gan.loss != "wgan-gp" or self.model.discriminator_norm == "none"
        expected = "'none' for wgan-gp, whose penalty is of each image alone (--set model.discriminator_norm=none)"
        require(plain, "model.discriminator_norm", expected, self.model.discriminator_norm)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self.model.latent,)

    def model_changes(self, size: int) -> dict[str, Any]:
        halvings = (size & -size).bit_length() - 1  # how often the size can be halved
        return {"doublings": min(self.model.doublings, halvings)}


@dataclass(frozen=True, kw_only=True)
class Classifier(Config):
    """An image classifier, which the evaluation of the other families uses."""

    family: Literal["classifier"] = "classifier"
    model: ClassifierConfig = field(default_factory=ClassifierConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_halvings(len(self.model.widths), "model.widths")

    @property
    def is_generator(self) -> bool:
        return False


FAMILIES: dict[str, type[Config]] = {"ddpm": DDPM, "flow": Flow, "vae": VAE, "gan": GAN, "classifier": Classifier}
