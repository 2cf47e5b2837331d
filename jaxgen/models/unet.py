"""The UNet of Ho et al. 2020, sized by its config, with one skip connection per residual block."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.config import UNetConfig
from jaxgen.models.blocks import GroupNorm, ResidualBlock, Upsample, conv3x3, from_patches, sinusoids, to_patches


class Level(nnx.Module):
    """The residual blocks of one size, and the resizing to the next one (None at the end)."""

    def __init__(self, blocks: list[ResidualBlock], resize: nnx.Module | None) -> None:
        self.blocks = nnx.List(blocks)
        self.resize = resize


class UNet(nnx.Module):
    """Predicts eps, x0 or v, as trained, from a noisy image, its timestep and its class.

    Widths are `config.channels * m` for m in `config.multipliers`; level i works at `size / patch / 2^i` pixels.
    """

    def __init__(self, config: UNetConfig, size: int, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.config = config
        embedding = 4 * config.channels
        widths = [config.channels * m for m in config.multipliers]
        pixels = channels * config.patch**2  # the channels of a patch, which is the network's pixel
        sizes = [size // config.patch // 2**i for i in range(len(widths))]
        heads = [config.heads if inner in config.attention else 0 for inner in sizes]
        block = partial(
            ResidualBlock, embedding=embedding, groups=config.groups, dropout=config.dropout, dtype=dtype, rngs=rngs
        )
        conv = partial(conv3x3, dtype=dtype, rngs=rngs)
        last = len(widths) - 1

        self.time1 = nnx.Linear(config.channels, embedding, dtype=dtype, rngs=rngs)
        self.time2 = nnx.Linear(embedding, embedding, dtype=dtype, rngs=rngs)
        # One class more than the data has: the null class, for "no class".
        self.label = nnx.Embed(config.classes + 1, embedding, dtype=dtype, rngs=rngs) if config.classes else None
        self.conv_in = conv(pixels, widths[0])

        self.down: nnx.List[Level] = nnx.List([])
        width = widths[0]
        for i, out in enumerate(widths):
            blocks = [block(width if j == 0 else out, out, heads=heads[i]) for j in range(config.blocks)]
            self.down.append(Level(blocks, conv(out, out, stride=2) if i < last else None))
            width = out
        self.middle = nnx.List([block(width, width, heads=heads[-1]), block(width, width, heads=0)])
        self.up: nnx.List[Level] = nnx.List([])
        for i, out in reversed(list(enumerate(widths))):
            blocks = [block(2 * out, out, heads=heads[i]) for _ in range(config.blocks)]
            self.up.append(Level(blocks, Upsample(out, widths[i - 1], dtype=dtype, rngs=rngs) if i else None))
        self.norm_out = GroupNorm(widths[0], config.groups, dtype=dtype)
        self.conv_out = conv(widths[0], pixels, zero=True)

    def embed(self, t: Array, label: Array) -> Array:
        """The embedding of timestep and class: [B], [B] -> [B, 4 * channels], after the activation."""
        embedding = self.time2(nnx.silu(self.time1(sinusoids(t, self.config.channels))))
        if self.label is not None:
            embedding = embedding + self.label(jnp.where(label < 0, self.config.classes, label))
        return nnx.silu(embedding)

    def __call__(self, x: Array, t: Array, label: Array, *, key: Array | None = None) -> Array:
        """x: [B, H, W, C]; t: [B]; label: [B] int, -1 for none -> [B, H, W, C] float32.

        key: of the dropout in training; None: no dropout.
        """
        count = self.config.blocks * 2 * len(self.config.multipliers) + 2
        keys = iter([None] * count if key is None else jax.random.split(key, count))
        embedding = self.embed(t, label)
        h = self.conv_in(to_patches(x, self.config.patch))
        skips = []
        for level in self.down:
            for block in level.blocks:
                h = block(h, embedding, key=next(keys))
                skips.append(h)
            h = h if level.resize is None else level.resize(h)
        for block in self.middle:
            h = block(h, embedding, key=next(keys))
        for level in self.up:
            for block in level.blocks:
                h = block(jnp.concatenate([h, skips.pop()], axis=-1), embedding, key=next(keys))
            h = h if level.resize is None else level.resize(h)
        out = self.conv_out(nnx.silu(self.norm_out(h)))
        return from_patches(out, self.config.patch).astype(jnp.float32)
