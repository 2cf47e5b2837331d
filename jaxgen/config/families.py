"""The families, each as the config of a whole run: its sections, and what others may know without asking its name.

A family is one entry here and one on each floor above: its network (jaxgen.models.network), how it is trained
(jaxgen.training.families), its PyTorch twin (jaxgen_export.torch_models).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxgen.config.common import DataConfig, TrainingConfig
from jaxgen.config.networks import ClassifierConfig, GANConfig, UNetConfig, VAEConfig
from jaxgen.config.objectives import DiffusionConfig, FlowConfig, GANObjective, VAEObjective
from jaxgen.config.schema import require
from jaxgen.sampling.process import Process, SamplerSpec

NetworkConfig = UNetConfig | VAEConfig | GANConfig | ClassifierConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that a run depends on, besides the data itself: what all families have."""

    name: str = "custom"
    family: str
    data: DataConfig = field(default_factory=DataConfig)
    model: NetworkConfig
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        plain = self.name.isprintable() and 0 < len(self.name) <= 100 and not {"/", "\\"} & set(self.name)
        require(plain and self.name not in (".", ".."), "name", "1 to 100 characters, fit for a folder", self.name)

    @property
    def classes(self) -> int:
        """How many the model is told of; 0: it is unconditional."""
        return self.model.classes

    @property
    def process(self) -> Process | None:
        """What its plans are made from; None where an image is one evaluation of the network on noise index 0."""
        section = self.sampling
        return section.process if section else None

    @property
    def plan(self) -> SamplerSpec | None:
        """The recipe of the plan that an exported file runs unless told otherwise; None where there is no process."""
        section = self.sampling
        return section.plan if section else None

    @property
    def guidance(self) -> float:
        """The classifier-free guidance scale of that plan; 1 where there is none."""
        section = self.sampling
        return section.guidance if section else 1.0

    @property
    def sampling(self) -> DiffusionConfig | FlowConfig | None:
        """The section that says by which process it is trained and sampled, if there is one."""
        return None

    @property
    def likelihood(self) -> tuple[str, float] | None:
        """The likelihood of an image given its latent, and the deviation sigma that a Gaussian one has; None: the
        family has no likelihood."""
        return None

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Of an image's normals: a draw of them, for models that draw."""
        return self.data.shape

    @property
    def is_generator(self) -> bool:
        """Whether the model makes images; else it reads them."""
        return True

    @property
    def null_class(self) -> bool:
        """Whether a conditional model also draws without a class (label -1)."""
        return self.process is not None

    @property
    def convolutional(self) -> bool:
        """Whether its network has convolutions, which XLA compiles badly inside loops on CPU."""
        return True

    def _require_halvings(self, count: int, key: str) -> None:
        size, shrink = self.data.size, 2**count
        require(size % shrink == 0, "data.size", f"a multiple of {shrink} for {key}", size)


@dataclass(frozen=True, kw_only=True)
class UNetRun(Config):
    """What the families around a UNet share."""

    model: UNetConfig = field(default_factory=UNetConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        levels, size = len(self.model.multipliers), self.data.size
        self._require_halvings(levels - 1, f"{levels} levels")
        sizes = [size // 2**level for level in range(levels)]
        among = f"among the levels' sizes {sizes}"
        require(set(self.model.attention) <= set(sizes), "model.attention", among, self.model.attention)

    def _require_guided(self, scale: float, key: str) -> None:
        require(self.model.classes > 0 or scale == 1, key, "1 without classes (model.classes = 0)", scale)


@dataclass(frozen=True, kw_only=True)
class DDPM(UNetRun):
    """Denoising diffusion (Ho et al. 2020)."""

    family: Literal["ddpm"] = "ddpm"
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_guided(self.diffusion.guidance, "diffusion.guidance")

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

    @property
    def sampling(self) -> FlowConfig:
        return self.flow


@dataclass(frozen=True, kw_only=True)
class VAE(Config):
    """Variational autoencoder (Kingma & Welling 2014), conditional where the model has classes."""

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
    def convolutional(self) -> bool:
        return bool(self.model.convolutions)


@dataclass(frozen=True, kw_only=True)
class GAN(Config):
    """Generative adversarial network (Goodfellow et al. 2014), conditional where the model has classes."""

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
        want = "'none' for wgan-gp, whose penalty is of each image alone (--set model.discriminator_norm=none)"
        require(plain, "model.discriminator_norm", want, self.model.discriminator_norm)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self.model.latent,)


@dataclass(frozen=True, kw_only=True)
class Classifier(Config):
    """Tells classes apart; it draws nothing, and the evaluation of the other families uses it."""

    family: Literal["classifier"] = "classifier"
    model: ClassifierConfig = field(default_factory=ClassifierConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_halvings(len(self.model.widths), "model.widths")

    @property
    def is_generator(self) -> bool:
        return False


FAMILIES: dict[str, type[Config]] = {"ddpm": DDPM, "flow": Flow, "vae": VAE, "gan": GAN, "classifier": Classifier}
