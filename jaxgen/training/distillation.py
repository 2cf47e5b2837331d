"""Distillation: a run learns from the predictions of another run, its teacher (`jaxgen train --teacher RUN`)."""

from __future__ import annotations

from pathlib import Path

import jax
from jax import Array

from jaxgen.config import Config
from jaxgen.errors import UsageError
from jaxgen.models import network as networks
from jaxgen.training.families import FAMILIES
from jaxgen.training.restore import load_trained
from jaxgen.training.train_step import Teacher


def load_teacher(config: Config, run: Path | None) -> Teacher | None:
    """The predictor with the averaged weights of a run's last checkpoint; None if no run is named.

    Raises UsageError if the run's model differs from this config's in family, process, image shape or classes, or if
    the family cannot learn from a teacher.
    """
    if run is None:
        return None
    if not FAMILIES[config.family].distillation:
        raise UsageError(f"--teacher: {config.name} is of family {config.family!r}, which learns from images alone")
    trained = load_trained(run)
    other = trained.config
    for what, ours, theirs in (
        ("family", config.family, other.family),
        ("image shape", config.data.shape, other.data.shape),
        ("number of classes", config.class_count, other.class_count),
        ("process", config.process, other.process),
    ):
        if ours != theirs:
            raise UsageError(f"--teacher: {run} has another {what}: {theirs}, and {config.name} has {ours}")
    apply, params = networks.build(other).apply, trained.params

    def predict(x_t: Array, t: Array, label: Array) -> Array:
        return jax.lax.stop_gradient(apply(params, x_t, t, label))

    return predict
