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

Loss = Callable[..., tuple[Array, "Metrics"]]  # loss(params, images, labels, *, key, train) -> scalar, its terms
Predictor = Callable[[Array, Array, Array], Array]  # x_t [B, H, W, C], times [B], labels [B] -> what a network says
Metrics = dict[str, Array]  # scalars; "loss" is what a run shows first and must stay finite
Update = Callable[["TrainState", Array, Array, Array], tuple["TrainState", Metrics]]  # images in [-1, 1], labels, key


class TrainState(NamedTuple):
    """All that a run needs to go on: replicated on every device."""

    step: Array  # [] int32, optimiser steps done
    params: Params
    ema: Params  # the averaged weights, which are sampled and exported; of a GAN, the generator's alone
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
    # Both have an empty state, so that clipping can be switched on for a run that diverged without.
    clip = optax.clip_by_global_norm(training.grad_clip) if training.grad_clip else optax.identity()
    return optax.chain(clip, rule)


def ema_decay(decay: float, step: Array) -> Array:
    """`decay`, less in the first steps so that the average forgets the random start: min(decay, (1 + n) / (10 + n))."""
    return jnp.minimum(decay, (1 + step) / (10 + step))


def averaged(old: Params, new: Params, decay: Array) -> Params:
    """The moving average of those weights that `old` holds."""
    return {name: decay * value + (1 - decay) * new[name] for name, value in old.items()}


class Learner(NamedTuple):
    """How a family learns: what a state starts as, and one optimiser step."""

    init: Callable[[Array], TrainState]  # key -> the state of step 0
    update: Update


def descend(training: TrainingConfig, network: Network, loss: Loss, schedule: optax.Schedule) -> Learner:
    """One loss, one optimiser for all weights."""
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
    # Runs once, so on CPU, where optimising its dozens of random draws takes longer than all else, it is not optimised.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(learner.init, out_shardings=NamedSharding(mesh, PartitionSpec()), compiler_options=options)


def abstract_state(learner: Learner, mesh: Mesh) -> TrainState:
    """Shapes, dtypes and shardings of a state, as restoring one needs them; nothing is computed."""
    whole = NamedSharding(mesh, PartitionSpec())
    shapes = jax.eval_shape(learner.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), shapes)


def make_steps(update: Update, mesh: Mesh) -> jax.stages.Wrapped:
    """K steps in one call: (state, images [K, B, H, W, C] uint8, labels [K, B], root key) -> (state, [K] metrics).

    The state that goes in is donated: it is gone afterwards.
    """

    def one(state: TrainState, batch: tuple[Array, Array], root: Array) -> tuple[TrainState, Metrics]:
        images, labels = batch
        return update(state, images.astype(jnp.float32) / 127.5 - 1, labels, jax.random.fold_in(root, state.step))

    def steps(state: TrainState, images: Array, labels: Array, root: Array) -> tuple[TrainState, Metrics]:
        if len(images) == 1:  # on CPU, a convolution inside a loop is slow even if it runs once
            state, metrics = one(state, (images[0], labels[0]), root)
            return state, jax.tree.map(lambda m: m[None], metrics)
        return jax.lax.scan(lambda state, batch: one(state, batch, root), state, (images, labels))

    whole, rows = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(None, "data"))
    return jax.jit(steps, donate_argnums=0, in_shardings=(whole, rows, rows, whole), out_shardings=whole)


LONGEST_SCAN = 500  # batches in memory at a time


def compute_dtype(name: str) -> str:
    """'auto' as bfloat16 on GPU and TPU, float32 on CPU; else the name itself."""
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def scan_steps(config: Config, steps_per_epoch: int) -> int:
    """Steps of one compiled call: `training.scan_steps`, or where that is 0 as many as are fast.

    An epoch, or an equal part of a long one, for networks of linear layers; for convolutions 10 on accelerators, where
    one call of many steps saves dispatching, and 1 on CPU, where XLA runs convolutions inside a loop some thirty times
    slower than outside.
    """
    if config.training.scan_steps:
        return config.training.scan_steps
    if not config.convolutional:
        return steps_per_epoch // math.ceil(steps_per_epoch / LONGEST_SCAN)
    return 1 if jax.default_backend() == "cpu" else 10


def total_steps(config: Config, steps_per_epoch: int) -> int:
    """Optimiser steps of the whole run."""
    return config.training.steps or config.training.epochs * steps_per_epoch


def chunk_length(step: int, total: int, scan: int, periods: tuple[int, ...]) -> int:
    """Steps of the next compiled call from `step`: `scan`, or 1 to reach a point where something else is due.

    Counted from the last such point, and dependent on the step alone, so an interrupted run makes the same calls as one
    that was not.
    """
    last = max(step // p * p for p in periods)
    due = min(total, *((step // p + 1) * p for p in periods))
    return scan if (step - last) % scan == 0 and step + scan <= due else 1
