"""jaxgen.models.vae in PyTorch."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from jaxgen.config import VAEConfig
from jaxgen_export.torch_models.base import (
    ACTIVATIONS,
    ExportSpec,
    TorchModel,
    channels_first,
    channels_last,
    doubling,
    halving,
)


def one_hot(label: Tensor, classes: int) -> Tensor:
    """[B] int64 -> [B, classes]; all zeros for -1, no class."""
    is_class = label[:, None] == torch.arange(classes)
    return torch.where(is_class, 1.0, 0.0)  # not a cast, which float16 converters break


class Encoder(nn.Module):
    """Images [B, H, W, C] in [-1, 1], and with `encoder_label` their classes [B] int64, to mean and log-variance,
    [B, latent] each."""

    def __init__(self, config: VAEConfig, size: int, channels: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.classes = config.classes if config.encoder_label else 0
        maps = [channels, *config.convolutions]
        self.convolutions = nn.ModuleList([halving(a, b) for a, b in itertools.pairwise(maps)])
        features = maps[-1] * (size >> len(config.convolutions)) ** 2
        widths = [features + self.classes, *config.hidden]
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])
        self.mean = nn.Linear(widths[-1], config.latent)
        self.log_variance = nn.Linear(widths[-1], config.latent)

    def forward(self, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = channels_first((x + 1) / 2)
        for convolution in self.convolutions:
            h = self.activation(convolution(h))
        h = h.flatten(1)
        if self.classes:
            assert label is not None
            h = torch.cat([h, one_hot(label, self.classes)], dim=1)
        for layer in self.hidden:
            h = self.activation(layer(h))
        return self.mean(h), self.log_variance(h)


class Decoder(nn.Module):
    """Latents z [B, latent] and label [B] int64 (-1: none) to the logits of pixels in [0, 1]: [B, H, W, C]."""

    def __init__(self, config: VAEConfig, size: int, channels: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.classes = config.classes
        maps = [*reversed(config.convolutions), channels]
        side = size >> len(config.convolutions)
        self.map = (maps[0], side, side)
        widths = [config.latent + config.classes, *reversed(config.hidden)]
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])
        self.out = nn.Linear(widths[-1], maps[0] * side * side)
        self.convolutions = nn.ModuleList([doubling(a, b) for a, b in itertools.pairwise(maps)])

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        h = torch.cat([z, one_hot(label, self.classes)], dim=1) if self.classes else z
        for layer in self.hidden:
            h = self.activation(layer(h))
        h = self.out(h).view(-1, *self.map)
        for convolution in self.convolutions:
            h = convolution(self.activation(h))
        return channels_last(h)


class Images(nn.Module):
    """The decoder's images in [-1, 1]: the most likely pixels of a latent."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.decoder(z, label)) - 1


class VAE(TorchModel):
    cores = (
        ExportSpec("sampler", lambda model: Images(model.decoder), "__call__", ("z", "label"), ("out",)),
        ExportSpec("encoder", lambda model: model.encoder, "encode", ("x", "label"), ("mean", "log_variance")),
    )

    def __init__(self, config: VAEConfig, size: int, channels: int) -> None:
        super().__init__()
        self.encoder = Encoder(config, size, channels)
        self.decoder = Decoder(config, size, channels)
