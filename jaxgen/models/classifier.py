"""A small image classifier."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.config import ClassifierConfig
from jaxgen.models.blocks import conv4x4, flat_map


class Classifier(nnx.Module):
    """Stride-2 convolutions, a linear layer (the features), and class scores."""

    def __init__(self, config: ClassifierConfig, size: int, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        maps = [channels, *config.widths]
        self.layers = nnx.List([conv4x4(a, b, dtype=dtype, rngs=rngs) for a, b in itertools.pairwise(maps)])
        inputs = maps[-1] * (size >> len(config.widths)) ** 2
        self.linear = nnx.Linear(inputs, config.features, dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)
        self.out = nnx.Linear(config.features, config.classes, dtype=dtype, rngs=rngs)

    def features(self, x: Array) -> Array:
        """x: [B, H, W, C] in [-1, 1] -> [B, features]."""
        h = x
        for layer in self.layers:
            h = nnx.relu(layer(h))
        return nnx.relu(self.linear(flat_map(h)))

    def read(self, x: Array) -> tuple[Array, Array]:
        """x: [B, H, W, C] -> logits [B, classes] and features [B, features]: what an exported file gives."""
        features = self.features(x)
        return self.out(features).astype(jnp.float32), features.astype(jnp.float32)

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """x: [B, H, W, C] -> logits [B, classes]; key: of the dropout, None for none."""
        h = self.dropout(self.features(x), deterministic=key is None, rngs=key)
        return self.out(h).astype(jnp.float32)
