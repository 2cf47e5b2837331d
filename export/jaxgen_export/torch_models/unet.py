"""jaxgen.models.unet in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jaxgen.config import UNetConfig
from jaxgen_export.torch_models.base import ExportSpec, TorchModel, channels_first, channels_last


class GroupNorm(nn.GroupNorm):
    """GroupNorm of Wu & He 2018 that centres each group before it squares the deviations.

    On an almost constant image the norm multiplies rounding errors by hundreds: with PyTorch's own, constant inputs put
    a trained ddpm-mnist beyond the certificate's limit (experiments/ddpm-mnist). It is also faster in onnxruntime:
    vectorised reductions and one scale-and-shift in place of InstanceNormalization.
    """

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self._over_group(x.mean((2, 3)))
        variance = self._over_group((centred * centred).mean((2, 3)))
        scale = torch.rsqrt(variance + self.eps) * self.weight[:, None, None]  # [B, C, 1, 1]
        return centred * scale + self.bias[:, None, None]

    def _over_group(self, channels: Tensor) -> Tensor:
        """Mean over each group's channels, given back to every channel: [B, C] -> [B, C, 1, 1]."""
        grouped = channels.reshape(channels.shape[0], self.num_groups, -1)
        return grouped.mean(-1, keepdim=True).expand_as(grouped).reshape(channels.shape)[:, :, None, None]


class Attention(nn.Module):
    """Multi-head self-attention over all pixels, with its norm and residual; no tensor is transposed in memory."""

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(groups, channels, eps=1e-5)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        each = c // self.heads
        q, k, v = pixelwise(self.qkv, self.norm(x)).view(b, 3, self.heads, each, h * w).unbind(1)
        weights = torch.softmax(q.transpose(-1, -2) @ k / math.sqrt(each), dim=-1)  # [B, heads, HW, HW]
        attended = v @ weights.transpose(-1, -2)  # [B, heads, C / heads, HW]
        return x + pixelwise(self.out, attended.reshape(b, c, h, w))


def pixelwise(linear: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer on the channels of every pixel, as a 1x1 convolution: x [B, C, H, W]."""
    return F.conv2d(x, linear.weight[:, :, None, None], linear.bias)


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, the embedding added in between; then attention where heads > 0."""

    def __init__(self, inputs: int, outputs: int, embedding: int, *, groups: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, inputs, eps=1e-5)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.embed = nn.Linear(embedding, outputs)
        self.norm2 = GroupNorm(groups, outputs, eps=1e-5)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = Attention(outputs, heads, groups) if heads else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.embed(embedding)[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return self.attention(self.skip(x) + h)


class Upsample(nn.Module):
    """Nearest neighbour to twice the size, then a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The residual blocks of one image size, and the layer that resizes for the next."""

    def __init__(self, blocks: list[ResidualBlock], resize: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.resize = resize


class UNet(TorchModel):
    """x [B, H, W, C], t [B], label [B] int64 (-1: none) -> [B, H, W, C]."""

    cores = (ExportSpec("sampler", lambda model: model, "__call__", ("x", "t", "label"), ("out",)),)
    frequencies: Tensor

    def __init__(self, config: UNetConfig, size: int, channels: int) -> None:
        super().__init__()
        self.classes = config.classes
        embedding = 4 * config.channels
        widths = [config.channels * m for m in config.multipliers]
        self.patch, pixels = config.patch, channels * config.patch**2
        sizes = [size // config.patch // 2**i for i in range(len(widths))]
        heads = [config.heads if inner in config.attention else 0 for inner in sizes]
        last = len(widths) - 1

        def block(inputs: int, outputs: int, heads: int) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, embedding, groups=config.groups, heads=heads, dropout=config.dropout)

        half = config.channels // 2
        steps = torch.arange(half, dtype=torch.float64) / max(half - 1, 1)
        self.register_buffer("frequencies", torch.exp(-math.log(1e4) * steps).float(), persistent=False)
        self.time1 = nn.Linear(config.channels, embedding)
        self.time2 = nn.Linear(embedding, embedding)
        self.label = nn.Embedding(config.classes + 1, embedding) if config.classes else None
        self.conv_in = nn.Conv2d(pixels, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        width = widths[0]
        for i, out in enumerate(widths):
            blocks = [block(width if j == 0 else out, out, heads[i]) for j in range(config.blocks)]
            self.down.append(Level(blocks, nn.Conv2d(out, out, 3, stride=2, padding=1) if i < last else nn.Identity()))
            width = out
        self.middle = nn.ModuleList([block(width, width, heads[-1]), block(width, width, 0)])
        self.up = nn.ModuleList()
        for i, out in reversed(list(enumerate(widths))):
            blocks = [block(2 * out, out, heads[i]) for _ in range(config.blocks)]
            self.up.append(Level(blocks, Upsample(out, widths[i - 1]) if i else nn.Identity()))
        self.norm_out = GroupNorm(config.groups, widths[0], eps=1e-5)
        self.conv_out = nn.Conv2d(widths[0], pixels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        embedding = self.time2(F.silu(self.time1(torch.cat([angles.sin(), angles.cos()], dim=-1))))
        if self.label is not None:
            embedding = embedding + self.label(torch.where(label < 0, self.classes, label))
        embedding = F.silu(embedding)
        h = channels_first(x)
        h = self.conv_in(F.pixel_unshuffle(h, self.patch) if self.patch > 1 else h)
        skips = []
        for level in cast(Iterable[Level], self.down):
            for block in level.blocks:
                h = block(h, embedding)
                skips.append(h)
            h = level.resize(h)
        for block in self.middle:
            h = block(h, embedding)
        for level in cast(Iterable[Level], self.up):
            for block in level.blocks:
                h = block(torch.cat([h, skips.pop()], dim=1), embedding)
            h = level.resize(h)
        h = self.conv_out(F.silu(self.norm_out(h)))
        return channels_last(F.pixel_shuffle(h, self.patch) if self.patch > 1 else h)
