"""The `model` section of each kind of network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxgen.config.common import RESUMABLE
from jaxgen.config.schema import require


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    channels: int = 32  # width of the first level
    multipliers: tuple[int, ...] = (1, 2)  # width of each level, in units of `channels`; each level halves the size
    blocks: int = 2  # residual blocks per level
    patch: int = 1  # side of the squares of pixels that the network sees as one pixel with more channels
    attention: tuple[int, ...] = ()  # sizes of the levels with self-attention
    heads: int = 4
    groups: int = 8  # of GroupNorm
    dropout: float = field(default=0.0, metadata=RESUMABLE)
    classes: int = 0  # 0: unconditional
    label_dropout: float = field(default=0.1, metadata=RESUMABLE)  # share of labels made the null class in training

    def __post_init__(self) -> None:
        positive = bool(self.multipliers) and min(self.multipliers) >= 1
        require(positive, "model.multipliers", "one or more integers >= 1", self.multipliers)
        for key in ("channels", "blocks", "patch", "heads", "groups"):
            require(getattr(self, key) >= 1, f"model.{key}", ">= 1", getattr(self, key))
        self._require_multiple(2, "2 (the time embedding is half sines, half cosines)")
        self._require_multiple(self.groups, f"model.groups ({self.groups})")
        if self.attention:
            self._require_multiple(self.heads, f"model.heads ({self.heads})")
        require(0 <= self.dropout < 1, "model.dropout", "in [0, 1)", self.dropout)
        require(0 <= self.label_dropout < 1, "model.label_dropout", "in [0, 1)", self.label_dropout)
        require(self.classes >= 0, "model.classes", ">= 0", self.classes)

    def _require_multiple(self, divisor: int, of: str) -> None:
        require(self.channels % divisor == 0, "model.channels", f"a multiple of {of}", self.channels)


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """Encoder: convolutions (if any), then linear layers, then mean and log-variance; the decoder is its mirror."""

    latent: int = 20
    hidden: tuple[int, ...] = (400,)  # widths of the encoder's linear layers
    convolutions: tuple[int, ...] = ()  # widths of stride-2 convolutions before them
    activation: Literal["relu", "tanh", "silu"] = "relu"
    classes: int = 0  # 0: unconditional; else the decoder also takes the one-hot class
    encoder_label: bool = False  # whether the encoder takes it as well, so that latents need not hold it

    def __post_init__(self) -> None:
        require(1 <= self.latent <= 4096, "model.latent", "from 1 to 4096", self.latent)
        require(all(width >= 1 for width in self.hidden), "model.hidden", "integers >= 1", self.hidden)
        positive = all(width >= 1 for width in self.convolutions)
        require(positive, "model.convolutions", "integers >= 1", self.convolutions)
        require(self.classes >= 0, "model.classes", ">= 0", self.classes)
        has_label = self.classes > 0 or not self.encoder_label
        require(has_label, "model.encoder_label", "false without classes (model.classes = 0)", self.encoder_label)


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    """Generator: a linear layer to a small map, then transposed convolutions; the discriminator is its mirror."""

    latent: int = 100
    widths: tuple[int, ...] = (128, 64, 32)  # channels of the generator's maps; one transposed convolution each
    doublings: int = 2  # number of the first ones that double the size; the others keep it
    generator_norm: Literal["none", "batch"] = "none"
    discriminator_norm: Literal["none", "batch"] = "batch"
    dropout: float = field(default=0.3, metadata=RESUMABLE)  # of the discriminator
    classes: int = 0  # 0: unconditional
    embedding: int = 32  # features of a class in the generator (classes > 0)
    conditioning: Literal["projection", "embedding"] = "projection"  # of the discriminator

    def __post_init__(self) -> None:
        require(1 <= self.latent <= 4096, "model.latent", "from 1 to 4096", self.latent)
        positive = bool(self.widths) and min(self.widths) >= 1
        require(positive, "model.widths", "one or more integers >= 1", self.widths)
        up_to = f"from 0 to the number of widths ({len(self.widths)})"
        require(0 <= self.doublings <= len(self.widths), "model.doublings", up_to, self.doublings)
        require(0 <= self.dropout < 1, "model.dropout", "in [0, 1)", self.dropout)
        require(self.classes >= 0, "model.classes", ">= 0", self.classes)
        require(self.embedding >= 1, "model.embedding", ">= 1", self.embedding)


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Stride-2 convolutions, a linear layer (the features), and class scores."""

    widths: tuple[int, ...] = (32, 64)
    features: int = 128
    dropout: float = field(default=0.25, metadata=RESUMABLE)
    shift: int = field(default=0, metadata=RESUMABLE)  # most pixels that training images are moved, at random
    classes: int = 10

    def __post_init__(self) -> None:
        positive = bool(self.widths) and min(self.widths) >= 1
        require(positive, "model.widths", "one or more integers >= 1", self.widths)
        require(self.features >= 1, "model.features", ">= 1", self.features)
        require(0 <= self.dropout < 1, "model.dropout", "in [0, 1)", self.dropout)
        require(self.shift >= 0, "model.shift", ">= 0", self.shift)
        require(self.classes >= 2, "model.classes", ">= 2", self.classes)
