"""The optimiser step: pure, compiled over a mesh of all devices, donated, and keyed by the step number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.config import Config, TrainingConfig
from jaxgen.models.network import Network, Params
from jaxgen.models.numerics import root_key
from jaxgen.runs.sessions import Progress

Loss = Callable[..., tuple[Array, "Metrics"]]  # loss(params, images, labels, *, key, train) -> scalar, its terms
Predictor = Callable[[Array, Array, Array], Array]  # x_t [B, H, W, C], times [B], labels [B] -> the prediction
Metrics = dict[str, Array]  # scalars; "loss" is shown first and must stay finite
Update = Callable[["TrainState", Array, Array, Array], tuple["TrainState", Metrics]]  # images in [-1, 1], labels, key


class TrainState(NamedTuple):
    """The complete state of a run, replicated on every device."""

    step: Array  # [] int32, optimiser steps done
    params: Params
    ema: Params  # the averaged weights, used for sampling and export; of a GAN, only the generator's
    optimizer: Any


def device_mesh() -> Mesh:
    """All devices of all processes on one axis, `data`."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def learning_rate(training: TrainingConfig, total_steps: int) -> optax.Schedule:
    """Linear warm-up to `lr`, then constant, or down to zero at `total_steps` along a cosine or a line."""
    decay_steps = max(total_steps - training.warmup, 1)
    after = {
        "constant": optax.constant_schedule(training.lr),
        "cosine": optax.cosine_decay_schedule(training.lr, decay_steps),
        "linear": optax.linear_schedule(training.lr, 0.0, decay_steps),
    }[training.lr_schedule]
    warmup = optax.linear_schedule(0.0, training.lr, training.warmup)
    return optax.join_schedules([warmup, after], [training.warmup]) if training.warmup else after


def make_optimizer(training: TrainingConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Gradient clipping by global norm, then the optimiser."""
    rule = {
        "adam": lambda: optax.adam(schedule, b1=training.beta1, b2=training.beta2),
        "adamw": lambda: optax.adamw(
            schedule, b1=training.beta1, b2=training.beta2, weight_decay=training.weight_decay
        ),
        "lion": lambda: optax.lion(schedule, b1=training.beta1, weight_decay=training.weight_decay),
        "sgd": lambda: optax.sgd(schedule, momentum=training.beta1),
    }[training.optimizer]()
    # Both have an empty state, so a run that diverged can resume with clipping.
    clip = optax.clip_by_global_norm(training.grad_clip) if training.grad_clip else optax.identity()
    return optax.chain(clip, rule)


def ema_decay(decay: float, step: Array) -> Array:
    """The decay at a step n, lower at first so that the average forgets the random start: min(decay, (1+n)/(10+n))."""
    return jnp.minimum(decay, (1 + step) / (10 + step))


def averaged(old: Params, new: Params, decay: Array) -> Params:
    """The moving average of the weights in `old`."""
    return {name: decay * value + (1 - decay) * new[name] for name, value in old.items()}


class Learner(NamedTuple):
    """The training algorithm of a family: the initial state, and one optimiser step."""

    init: Callable[[Array], TrainState]  # key -> the state of step 0
    update: Update


def descend(training: TrainingConfig, network: Network, loss: Loss, schedule: optax.Schedule) -> Learner:
    """Gradient descent: one loss and one optimiser for all weights."""
    optimizer = make_optimizer(training, schedule)

    def init(key: Array) -> TrainState:
        params = network.init(key)
        return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer.init(params))

    def update(state: TrainState, images: Array, labels: Array, key: Array) -> tuple[TrainState, Metrics]:
        (value, terms), grads = jax.value_and_grad(loss, has_aux=True)(state.params, images, labels, key=key)
        updates, opt_state = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = averaged(state.ema, params, ema_decay(training.ema, state.step))
        metrics = {"loss": value, **terms, "grad_norm": optax.tree.norm(grads), "lr": jnp.asarray(schedule(state.step))}
        return TrainState(state.step + 1, params, ema, opt_state), metrics

    return Learner(init, update)


def make_init(learner: Learner, mesh: Mesh) -> Callable[[Array], TrainState]:
    """init(key) -> the state of step 0, replicated over `mesh`."""
    # It runs once, and on CPU XLA would take longer to optimise its dozens of random arrays than to compute them.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(learner.init, out_shardings=NamedSharding(mesh, PartitionSpec()), compiler_options=options)


def abstract_state(learner: Learner, mesh: Mesh) -> TrainState:
    """Shapes, dtypes and shardings of a state, for restoring one; nothing is computed."""
    whole = NamedSharding(mesh, PartitionSpec())
    shapes = jax.eval_shape(learner.init, root_key(0))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), shapes)


def make_steps(update: Update, mesh: Mesh) -> jax.stages.Wrapped:
    """K steps in one call: (state, images [K, B, H, W, C] uint8, labels [K, B], root key) -> (state, [K] metrics);
    labels: those of a student are a tree of such arrays.

    The input state is donated, so it is invalid afterwards.
    """

    def one(state: TrainState, batch: tuple[Array, Array], root: Array) -> tuple[TrainState, Metrics]:
        images, labels = batch
        return update(state, images.astype(jnp.float32) / 127.5 - 1, labels, jax.random.fold_in(root, state.step))

    def steps(state: TrainState, images: Array, labels: Array, root: Array) -> tuple[TrainState, Metrics]:
        if len(images) == 1:  # on CPU, a convolution inside a loop is slow even if it runs once
            state, metrics = one(state, jax.tree.map(lambda leaf: leaf[0], (images, labels)), root)
            return state, jax.tree.map(lambda m: m[None], metrics)
        return jax.lax.scan(lambda state, batch: one(state, batch, root), state, (images, labels))

    whole, rows = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(None, "data"))
    return jax.jit(steps, donate_argnums=0, in_shardings=(whole, rows, rows, whole), out_shardings=whole)


LONGEST_SCAN = 500  # batches in memory at a time


def compute_dtype(name: str) -> str:
    """The dtype of a name; 'auto' is bfloat16 on GPU and TPU, float32 on CPU."""
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def scan_steps(config: Config, steps_per_epoch: int) -> int:
    """Steps of one compiled call: `training.scan_steps`, or a fast number if that is 0.

    Networks of linear layers take an epoch, or an equal part of a long one. Convolutions take 10 on accelerators, which
    saves dispatching, and 1 on CPU, where XLA runs convolutions about thirty times slower inside a loop than outside.
    """
    if config.training.scan_steps:
        return config.training.scan_steps
    if not config.convolutional:
        return steps_per_epoch // math.ceil(steps_per_epoch / LONGEST_SCAN)
    return 1 if jax.default_backend() == "cpu" else 10


def total_steps(config: Config, steps_per_epoch: int, progress: Progress | None = None) -> int:
    """Optimiser steps of the whole run: as many as the config says, or those that take the images of its epochs.

    progress: of a run whose batch was of another size before.
    """
    training = config.training
    if training.steps:
        return training.steps
    steps = training.epochs * steps_per_epoch
    return progress.total(steps * training.batch_size) if progress else steps


def chunk_length(step: int, total: int, scan: int, periods: tuple[int, ...]) -> int:
    """Steps of the next compiled call from `step`: `scan`, or 1 near a step where an event is due.

    It depends on the step alone, so an interrupted run makes the same calls as an uninterrupted one.
    """
    last = max(step // p * p for p in periods)
    due = min(total, *((step // p + 1) * p for p in periods))
    return scan if (step - last) % scan == 0 and step + scan <= due else 1
