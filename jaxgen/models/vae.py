"""The variational autoencoder of Kingma & Welling 2014: linear layers, with optional convolutions before them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.config import VAEConfig
from jaxgen.models.blocks import Doubling, conv4x4, flat_map, map_of

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nnx.relu, "tanh": jnp.tanh, "silu": nnx.silu}


class Encoder(nnx.Module):
    """Maps images to the mean and the log-variance of q(z | x), or with `encoder_label` of q(z | x, class)."""

    def __init__(self, config: VAEConfig, size: int, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.activation = ACTIVATIONS[config.activation]
        self.classes = config.classes if config.encoder_label else 0
        maps = [channels, *config.convolutions]
        self.convolutions = nnx.List([conv4x4(a, b, dtype=dtype, rngs=rngs) for a, b in itertools.pairwise(maps)])
        features = maps[-1] * (size >> len(config.convolutions)) ** 2
        widths = [features + self.classes, *config.hidden]
        self.hidden = nnx.List([nnx.Linear(a, b, dtype=dtype, rngs=rngs) for a, b in itertools.pairwise(widths)])
        self.mean = nnx.Linear(widths[-1], config.latent, dtype=dtype, rngs=rngs)
        self.log_variance = nnx.Linear(widths[-1], config.latent, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, label: Array | None = None) -> tuple[Array, Array]:
        """x: [B, H, W, C] in [-1, 1]; label: [B] int, not read without `encoder_label` -> mean and log-variance,
        [B, latent] each."""
        h = (x + 1) / 2
        for convolution in self.convolutions:
            h = self.activation(convolution(h))
        h = flat_map(h)
        if self.classes:
            h = jnp.concatenate([h, jax.nn.one_hot(label, self.classes)], axis=-1)
        for layer in self.hidden:
            h = self.activation(layer(h))
        return self.mean(h).astype(jnp.float32), self.log_variance(h).astype(jnp.float32)


class Decoder(nnx.Module):
    """Maps latents, and the one-hot class in conditional models, to the logits of pixels in [0, 1]."""

    def __init__(self, config: VAEConfig, size: int, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.activation = ACTIVATIONS[config.activation]
        self.classes = config.classes
        maps = [*reversed(config.convolutions), channels]
        side = size >> len(config.convolutions)
        self.map = (side, side, maps[0])
        widths = [config.latent + config.classes, *reversed(config.hidden)]
        self.hidden = nnx.List([nnx.Linear(a, b, dtype=dtype, rngs=rngs) for a, b in itertools.pairwise(widths)])
        self.out = nnx.Linear(widths[-1], math.prod(self.map), dtype=dtype, rngs=rngs)
        self.convolutions = nnx.List([Doubling(a, b, dtype=dtype, rngs=rngs) for a, b in itertools.pairwise(maps)])

    def __call__(self, z: Array, label: Array) -> Array:
        """z: [B, latent]; label: [B] int, -1 for none -> [B, H, W, C]."""
        h = jnp.concatenate([z, jax.nn.one_hot(label, self.classes)], axis=-1) if self.classes else z
        for layer in self.hidden:
            h = self.activation(layer(h))
        h = map_of(self.out(h), self.map)
        for convolution in self.convolutions:
            h = convolution(self.activation(h))
        return h.astype(jnp.float32)


class VAE(nnx.Module):
    """Encoder and decoder; a call decodes latents to the mean image."""

    def __init__(self, config: VAEConfig, size: int, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.encoder = Encoder(config, size, channels, dtype=dtype, rngs=rngs)
        self.decoder = Decoder(config, size, channels, dtype=dtype, rngs=rngs)

    def encode(self, x: Array, label: Array | None = None) -> tuple[Array, Array]:
        """See `Encoder`."""
        return self.encoder(x, label)

    def decode(self, z: Array, label: Array) -> Array:
        """The logits [B, H, W, C] of pixels in [0, 1]."""
        return self.decoder(z, label)

    def __call__(self, z: Array, label: Array) -> Array:
        """z: [B, latent]; label: [B] int -> images [B, H, W, C] in [-1, 1]."""
        return 2 * nnx.sigmoid(self.decoder(z, label)) - 1
