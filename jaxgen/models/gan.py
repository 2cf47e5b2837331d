"""Generator and discriminator of a DCGAN (Radford et al. 2016), sized by the config."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.config import GANConfig
from jaxgen.models.blocks import BatchNorm, Doubling, Transposed3x3, conv3x3, conv4x4, flat_map, map_of


class Generator(nnx.Module):
    """Maps noise, and the class's embedding in conditional models, to images in [-1, 1]."""

    def __init__(self, config: GANConfig, size: int, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        side = size >> config.doublings
        self.map = (side, side, config.widths[0])
        self.label = nnx.Embed(config.classes, config.embedding, dtype=dtype, rngs=rngs) if config.classes else None
        inputs = config.latent + (config.embedding if config.classes else 0)
        self.linear = nnx.Linear(inputs, math.prod(self.map), dtype=dtype, rngs=rngs)
        maps = [*config.widths, channels]
        batch = config.generator_norm == "batch"
        self.norms = nnx.List([BatchNorm(width, dtype=dtype, rngs=rngs) for width in config.widths] if batch else [])
        self.layers = nnx.List(
            [
                (Doubling if i < config.doublings else Transposed3x3)(maps[i], maps[i + 1], dtype=dtype, rngs=rngs)
                for i in range(len(config.widths))
            ]
        )

    def __call__(self, z: Array, label: Array, *, train: bool = False) -> Array:
        """z: [B, latent]; label: [B] int -> [B, H, W, C]; train: norms use the batch's own statistics."""
        if self.label is not None:
            z = jnp.concatenate([z, self.label(jnp.maximum(label, 0))], axis=-1)
        h = map_of(self.linear(z), self.map)
        for i, layer in enumerate(self.layers):
            h = self.norms[i](h, train=train) if len(self.norms) else h
            h = layer(nnx.relu(h))
        return jnp.tanh(h.astype(jnp.float32))


class Discriminator(nnx.Module):
    """Maps images to scores [B], which are large for real images."""

    def __init__(self, config: GANConfig, size: int, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        # Drop whole channels (Tompson et al. 2015): neighbouring pixels are correlated, and on CPU a mask for each
        # pixel takes a sixth of a training step.
        self.dropout = nnx.Dropout(config.dropout, broadcast_dims=(1, 2))
        self.side = size
        self.projected = bool(config.classes) and config.conditioning == "projection"
        plane = bool(config.classes) and not self.projected
        maps = [channels + plane, *reversed(config.widths)]
        self.layers = nnx.List(
            [
                (conv4x4 if i < config.doublings else conv3x3)(maps[i], maps[i + 1], dtype=dtype, rngs=rngs)
                for i in range(len(config.widths))
            ]
        )
        # No norm after the first layer, where it would hide the pixels' statistics (Radford et al. 2016, section 3).
        batch = config.discriminator_norm == "batch"
        self.norms = nnx.List([BatchNorm(width, dtype=dtype, rngs=rngs) for width in maps[2:]] if batch else [])
        features = maps[-1] * (size >> config.doublings) ** 2
        self.out = nnx.Linear(features, 1, dtype=dtype, rngs=rngs)
        width = features if self.projected else size * size
        self.label = nnx.Embed(config.classes, width, dtype=dtype, rngs=rngs) if config.classes else None

    def __call__(self, x: Array, label: Array, *, train: bool = False, key: Array | None = None) -> Array:
        """x: [B, H, W, C] in [-1, 1]; label: [B] int; key: of the dropout, None for none."""
        keys = iter([None] * len(self.layers) if key is None else jax.random.split(key, len(self.layers)))
        label = jnp.maximum(label, 0)
        h = x
        if self.label is not None and not self.projected:
            h = jnp.concatenate([h, self.label(label).reshape(-1, self.side, self.side, 1)], axis=-1)
        for i, layer in enumerate(self.layers):
            h = layer(h)
            h = self.norms[i - 1](h, train=train) if i and len(self.norms) else h
            h = nnx.leaky_relu(h, 0.2)
            h = self.dropout(h, deterministic=key is None, rngs=next(keys))
        h = flat_map(h)
        score = self.out(h)[:, 0]
        if self.label is not None and self.projected:  # Miyato & Koyama 2018
            score = score + (self.label(label) * h).sum(-1)
        return score.astype(jnp.float32)


class GAN(nnx.Module):
    """Generator and discriminator; a call generates images."""

    def __init__(self, config: GANConfig, size: int, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.generator = Generator(config, size, channels, dtype=dtype, rngs=rngs)
        self.discriminator = Discriminator(config, size, channels, dtype=dtype, rngs=rngs)

    def generate(self, z: Array, label: Array, *, train: bool = False) -> Array:
        """z: [B, latent]; label: [B] int -> images [B, H, W, C] in [-1, 1]."""
        return self.generator(z, label, train=train)

    def discriminate(self, x: Array, label: Array, *, train: bool = False, key: Array | None = None) -> Array:
        """x: [B, H, W, C] -> scores [B]."""
        return self.discriminator(x, label, train=train, key=key)

    def __call__(self, z: Array, label: Array) -> Array:
        """Generate images as `generate` does, with the averaged statistics."""
        return self.generator(z, label)
