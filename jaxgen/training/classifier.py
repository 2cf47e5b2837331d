"""The objective of a classifier: cross entropy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxgen.config import Classifier
from jaxgen.models.network import Network, Params
from jaxgen.training.train_step import Loss, Metrics


def classifier(config: Classifier, network: Network) -> Loss:
    """Mean cross entropy in nats, and the accuracy."""

    def loss(params: Params, x0: Array, label: Array, *, key: Array, train: bool = True) -> tuple[Array, Metrics]:
        """x0: [B, H, W, C] in [-1, 1]; label: [B] int."""
        dropout_key, shift_key = jax.random.split(key)
        if train and config.model.shift:
            x0 = shifted(x0, config.model.shift, key=shift_key)
        logits = network.apply(params, x0, key=dropout_key if train and config.model.dropout else None)
        accuracy = (logits.argmax(-1) == label).mean()
        return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean(), {"accuracy": accuracy}

    return loss


def shifted(images: Array, most: int, *, key: Array) -> Array:
    """Each image moved by up to `most` pixels along both axes at random; pixels on its edge are repeated.

    images: [B, H, W, C] -> the same.
    """
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), "edge")
    corners = jax.random.randint(key, (len(images), 2), 0, 2 * most + 1)
    return jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), images.shape[1:]))(
        padded, corners
    )
