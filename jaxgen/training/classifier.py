"""The objective of a classifier: cross entropy."""

from __future__ import annotations

import optax
from jax import Array

from jaxgen.config import Classifier
from jaxgen.models.network import Network, Params
from jaxgen.training.train_step import Loss, Metrics


def classifier(config: Classifier, network: Network) -> Loss:
    """Mean cross entropy in nats, and the accuracy."""

    def loss(params: Params, x0: Array, label: Array, *, key: Array, train: bool = True) -> tuple[Array, Metrics]:
        """x0: [B, H, W, C] in [-1, 1]; label: [B] int."""
        logits = network.apply(params, x0, key=key if train and config.model.dropout else None)
        accuracy = (logits.argmax(-1) == label).mean()
        return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean(), {"accuracy": accuracy}

    return loss
