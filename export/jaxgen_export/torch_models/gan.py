"""jaxgen.models.gan in PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxgen.config import GANConfig
from jaxgen_export.torch_models.base import ExportSpec, TorchModel, channels_first, channels_last, doubling, halving


class Generator(nn.Module):
    """Noise z [B, latent] and label [B] int64 to images [B, H, W, C] in [-1, 1]."""

    def __init__(self, config: GANConfig, size: int, channels: int) -> None:
        super().__init__()
        side = size >> config.doublings
        self.map = (config.widths[0], side, side)
        self.label = nn.Embedding(config.classes, config.embedding) if config.classes else None
        inputs = config.latent + (config.embedding if config.classes else 0)
        self.linear = nn.Linear(inputs, config.widths[0] * side * side)
        batch = config.generator_norm == "batch"
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) if batch else nn.Identity() for width in config.widths])
        self.layers = nn.ModuleList()
        for i, (a, b) in enumerate(zip(config.widths, (*config.widths[1:], channels), strict=True)):
            self.layers.append(doubling(a, b) if i < config.doublings else nn.ConvTranspose2d(a, b, 3, padding=1))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        if self.label is not None:
            known = torch.where(label < 0, 0, label)  # not clamp: OpenCV cannot run it on integers
            z = torch.cat([z, self.label(known)], dim=1)
        h = self.linear(z).view(-1, *self.map)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            h = layer(F.relu(norm(h)))
        return channels_last(torch.tanh(h))


class Discriminator(nn.Module):
    """Images x [B, H, W, C] in [-1, 1] and label [B] int64 to scores [B]; large for real ones."""

    def __init__(self, config: GANConfig, size: int, channels: int) -> None:
        super().__init__()
        self.size = size
        self.dropout = nn.Dropout2d(config.dropout)  # whole channels, as in training
        self.projected = bool(config.classes) and config.conditioning == "projection"
        plane = bool(config.classes) and not self.projected
        maps = [channels + plane, *reversed(config.widths)]
        self.layers = nn.ModuleList()
        for i in range(len(config.widths)):
            a, b = maps[i], maps[i + 1]
            self.layers.append(halving(a, b) if i < config.doublings else nn.Conv2d(a, b, 3, padding=1))
        batch = config.discriminator_norm == "batch"
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) if batch else nn.Identity() for width in maps[2:]])
        features = maps[-1] * (size >> config.doublings) ** 2
        self.out = nn.Linear(features, 1)
        self.label = nn.Embedding(config.classes, features if self.projected else size**2) if config.classes else None

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = channels_first(x)
        if self.label is not None and not self.projected:
            h = torch.cat([h, self.label(label.clamp(min=0)).view(-1, 1, self.size, self.size)], dim=1)
        for i, layer in enumerate(self.layers):
            h = layer(h)
            h = self.norms[i - 1](h) if i else h
            h = self.dropout(F.leaky_relu(h, 0.2))
        h = h.flatten(1)
        score = self.out(h)[:, 0]
        if self.label is not None and self.projected:
            score = score + (self.label(label.clamp(min=0)) * h).sum(1)
        return score


class GAN(TorchModel):
    cores = (ExportSpec("sampler", lambda model: model.generator, "__call__", ("z", "label"), ("out",)),)
    optional = ("discriminator",)

    def __init__(self, config: GANConfig, size: int, channels: int) -> None:
        super().__init__()
        self.generator = Generator(config, size, channels)
        self.discriminator = Discriminator(config, size, channels)
