"""The optimiser step: pure, compiled over a mesh of all devices, donated, and keyed by the step number."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.config import TrainingConfig
from jaxgen.models.network import Network, Params
from jaxgen.training.losses import Loss


class TrainState(NamedTuple):
    """All that a run needs to go on: replicated on every device."""

    step: Array  # [] int32, optimiser steps done
    params: Params
    ema: Params  # the averaged weights, which are sampled and exported
    optimizer: optax.OptState


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
        "adam": lambda: optax.adam(schedule),
        "adamw": lambda: optax.adamw(schedule, weight_decay=training.weight_decay),
        "lion": lambda: optax.lion(schedule, weight_decay=training.weight_decay),
        "sgd": lambda: optax.sgd(schedule, momentum=0.9),
    }[training.optimizer]()
    # Both have an empty state, so that clipping can be switched on for a run that diverged without.
    clip = optax.clip_by_global_norm(training.grad_clip) if training.grad_clip else optax.identity()
    return optax.chain(clip, rule)


def ema_decay(decay: float, step: Array) -> Array:
    """`decay`, less in the first steps so that the average forgets the random start: min(decay, (1 + n) / (10 + n))."""
    return jnp.minimum(decay, (1 + step) / (10 + step))


def make_init(network: Network, optimizer: optax.GradientTransformation, mesh: Mesh) -> Callable[[Array], TrainState]:
    """init(key) -> the state of step 0, replicated over `mesh`."""

    def init(key: Array) -> TrainState:
        params = network.init(key)
        return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer.init(params))

    # Runs once, so on CPU, where optimising its dozens of random draws takes longer than all else, it is not optimised.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(init, out_shardings=NamedSharding(mesh, PartitionSpec()), compiler_options=options)


def abstract_state(network: Network, optimizer: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """Shapes, dtypes and shardings of a state, as restoring one needs them; nothing is computed."""
    whole = NamedSharding(mesh, PartitionSpec())
    shapes = jax.eval_shape(make_init(network, optimizer, mesh), jax.random.key(0))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), shapes)


def make_steps(
    training: TrainingConfig, loss: Loss, optimizer: optax.GradientTransformation, schedule: optax.Schedule, mesh: Mesh
) -> jax.stages.Wrapped:
    """K steps in one call: (state, images [K, B, H, W, C] uint8, labels [K, B], root key) -> (state, [K] metrics).

    The state that goes in is donated: it is gone afterwards.
    """

    def one(state: TrainState, batch: tuple[Array, Array], root: Array) -> tuple[TrainState, dict[str, Array]]:
        images, labels = batch
        x0 = images.astype(jnp.float32) / 127.5 - 1
        key = jax.random.fold_in(root, state.step)
        value, grads = jax.value_and_grad(loss)(state.params, x0, labels, key=key)
        updates, opt_state = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = ema_decay(training.ema, state.step)
        ema = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.ema, params)
        metrics = {"loss": value, "grad_norm": optax.tree.norm(grads), "lr": jnp.asarray(schedule(state.step))}
        return TrainState(state.step + 1, params, ema, opt_state), metrics

    def steps(state: TrainState, images: Array, labels: Array, root: Array) -> tuple[TrainState, dict[str, Array]]:
        if len(images) == 1:  # on CPU, a convolution inside a loop is slow even if it runs once
            state, metrics = one(state, (images[0], labels[0]), root)
            return state, jax.tree.map(lambda m: m[None], metrics)
        return jax.lax.scan(lambda state, batch: one(state, batch, root), state, (images, labels))

    whole, rows = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(None, "data"))
    return jax.jit(steps, donate_argnums=0, in_shardings=(whole, rows, rows, whole), out_shardings=whole)
