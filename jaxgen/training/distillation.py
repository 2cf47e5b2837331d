"""Distillation: a run learns from another run, its teacher.

With `jaxgen train --teacher RUN` a smaller network learns the teacher's predictions; with `jaxgen distill RUN` one of
the same architecture learns to sample in few steps (`jaxgen.training.students`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from jaxgen.config import Config, UNetConfig
from jaxgen.errors import UsageError
from jaxgen.models.network import weights_hash
from jaxgen.runs.folder import RunFolder
from jaxgen.sampling.process import Diffusion, Process
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.families import FAMILIES
from jaxgen.training.restore import load_trained
from jaxgen.training.teacher import Teacher


def load_teacher(config: Config, run: Path | None, known: Mapping[str, Any] | None = None) -> Teacher | None:
    """The teacher with the averaged weights of a run's last checkpoint; None if no run is named.

    known: the record of a student's teacher when it is resumed: that step is loaded, and the weights must be the same.
    Raises UsageError if the run's model differs from this config's in family, process, image shape or classes (for a
    student of few steps: or in its network), or if the family cannot learn from a teacher.
    """
    if run is None:
        if config.distilled:
            method = config.distilled.method
            raise UsageError(f"distillation.method {method!r} needs a teacher: jaxgen distill RUN --method {method}")
        return None
    if not FAMILIES[config.family].distillation:
        raise UsageError(f"--teacher: {config.name} is of family {config.family!r}, which learns from images alone")
    step = (known or {}).get("steps")
    kept = step in Checkpoints(RunFolder(run).checkpoints).steps()
    trained = load_trained(run, str(step) if kept else "last")
    other = trained.config
    pairs: list[tuple[str, Any, Any]] = [
        ("family", config.family, other.family),
        ("image shape", config.data.shape, other.data.shape),
        ("number of classes", config.class_count, other.class_count),
        ("process", _compared(config, config.process), _compared(config, other.process)),
    ]
    if config.distilled:
        pairs.append(("network", _architecture(config), _architecture(other)))
    for what, ours, theirs in pairs:
        if ours != theirs:
            raise UsageError(f"--teacher: {run} has another {what}: {theirs}, and {config.name} has {ours}")
    record: dict[str, Any] = {"name": other.name, "sha256": weights_hash(trained.params), "steps": trained.step}
    if config.distilled and known and known.get("sha256") != record["sha256"]:
        was = f"{known.get('name')} of {known.get('steps')} steps, weights {str(known.get('sha256'))[:12]}"
        raise UsageError(
            f"--teacher: {run} has other weights ({record['sha256'][:12]}) than the teacher so far ({was})"
        )
    return Teacher(other, {name: jnp.asarray(value) for name, value in trained.params.items()}, record)


def _compared(config: Config, process: Process | None) -> Process | None:
    """A process as it is compared: a student of few steps may predict another quantity than its teacher."""
    if config.distilled and isinstance(process, Diffusion):
        return replace(process, prediction="any")
    return process


def _architecture(config: Config) -> Any:
    """The network's section without what only training reads."""
    assert isinstance(config.model, UNetConfig)
    return replace(config.model, dropout=0.0, label_dropout=0.0)
