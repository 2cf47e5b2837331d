"""The table of distillation methods: how a student of few steps learns from its teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.experimental import multihost_utils

from jaxgen.config import Config
from jaxgen.data import Batches
from jaxgen.data.batches import Share
from jaxgen.models.network import Network
from jaxgen.training import distributed
from jaxgen.training.adversarial import adversarial
from jaxgen.training.signals import StopSignal
from jaxgen.training.student_losses import StudentLoss, consistency, reflow
from jaxgen.training.teacher import Teacher
from jaxgen.training.teacher_pairs import PairedBatches, TeacherPairs
from jaxgen.training.train_step import Learner, Metrics, TrainState, descend


@dataclass(frozen=True)
class Method:
    """learner: (config, network, schedule, teacher or None) -> the training algorithm; without a teacher its state has
    the right shapes, and that is all. pairs: whether batches hold the teacher's images."""

    learner: Callable[[Config, Network, optax.Schedule, Teacher | None], Learner]
    pairs: bool


def descent(objective: Callable[[Config, Network, Teacher], StudentLoss]) -> Callable[..., Learner]:
    """Gradient descent on one loss, from the teacher's averaged weights."""

    def learner(config: Config, network: Network, schedule: optax.Schedule, teacher: Teacher | None) -> Learner:
        first = replace(network, init=lambda key: as_arrays(teacher)) if teacher else network
        loss = objective(config, network, teacher) if teacher else None

        def at_step(step: Array | int) -> Learner:
            def loss_there(params, images, batch, *, key, train=True):  # type: ignore[no-untyped-def]
                assert loss, "only a teacher can teach"
                return loss(params, images, batch, key=key, step=step)

            return descend(config.training, first, loss_there, schedule)

        def update(state: TrainState, images: Array, batch: Array, key: Array) -> tuple[TrainState, Metrics]:
            return at_step(state.step).update(state, images, batch, key)

        return Learner(at_step(0).init, update)

    return learner


def as_arrays(teacher: Teacher) -> dict[str, Array]:
    """The teacher's weights, to start from."""
    return jax.tree.map(jnp.asarray, dict(teacher.params))


METHODS: dict[str, Method] = {
    "reflow": Method(descent(reflow), pairs=True),
    "consistency": Method(descent(consistency), pairs=False),
    "adversarial": Method(adversarial, pairs=True),
}


def with_pairs(batches: Batches, config: Config, teacher: Teacher | None, folder: Path) -> Batches:
    """The batches of a run in `folder`, with the teacher's images if its method learns from them."""
    if teacher is None or config.distilled is None or not METHODS[config.distilled.method].pairs:
        return batches
    share = Share(config.training.batch_size, jax.process_index(), jax.process_count())
    return PairedBatches(batches, TeacherPairs(config, teacher, folder), share, seed=config.training.seed)


def complete_pairs(batches: Batches, say: Callable[[str], None], stop: StopSignal) -> bool:
    """Let the first process make the teacher's images that are missing; False if a signal came to any process."""
    if not isinstance(batches, PairedBatches):
        return True
    if jax.process_index() == 0:
        batches.pairs.complete(say, lambda: stop.signal is not None)
    multihost_utils.sync_global_devices("jaxgen:pairs")
    return not distributed.largest(stop.signal or 0)
