"""The sampling loop in JAX: it runs the rows of a plan; an image's noise is a function of its seed and index."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.config import Config
from jaxgen.models.network import Params
from jaxgen.models.numerics import root_key
from jaxgen.sampling import sampler_spec

State = tuple[Array, Array]  # x and the last x0, each [N, H, W, C]


@partial(jax.jit, static_argnames="shape")
def image_noise(seed: Array, index: Array, noise_index: Array | int, shape: tuple[int, ...]) -> Array:
    """Standard normals [N, *shape] of images `index` [N] of seeds `seed` [N], uint32; as in `jaxgen.sampling.prng`."""

    def one(seed: Array, index: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(root_key(seed), index), noise_index)
        return jax.random.normal(key, shape, jnp.float32)

    with jax.threefry_partitionable(True):  # regardless of the environment's JAX_ variables
        return jax.vmap(one)(seed, index)


@partial(jax.jit, static_argnames=("apply", "guided"), donate_argnames="state")
def advance(
    apply: Callable[..., Array],
    params: Params,
    row: Array,
    state: State,
    seed: Array,
    index: Array,
    label: Array,
    guidance: Array,
    *,
    guided: bool,
) -> State:
    """Run one row [9] of a plan (columns: see jaxgen.sampling.plan)."""
    x, x0_prev = state
    t, x0_x, x0_out, clip, to_x, to_x0, to_x0_prev, to_noise, noise_index = row
    times = jnp.full(len(x), t)
    out = apply(params, x, times, label)
    if guided:
        plain = apply(params, x, times, jnp.full_like(label, -1))
        out = plain + guidance * (out - plain)
    x0 = jnp.clip(x0_x * x + x0_out * out, -clip, clip)
    x = to_x * x + to_x0 * x0 + to_x0_prev * x0_prev

    def with_noise() -> Array:
        return x + to_noise * image_noise(seed, index, noise_index.astype(jnp.uint32), x.shape[1:])

    return jax.lax.cond(to_noise != 0, with_noise, lambda: x), x0


def run_plan(
    apply: Callable[..., Array],
    params: Params,
    plan: np.ndarray,
    seed: Array,
    index: Array,
    label: Array,
    *,
    shape: tuple[int, int, int],
    guidance: float = 1.0,
    start: Array | np.ndarray | None = None,
) -> Array:
    """Images [N, H, W, C] in about [-1, 1] of seeds and indices [N] (uint32) and labels [N] (int32, -1 for none).

    start: the initial x, instead of each image's own noise.

    guidance: the scale from the prediction without the label to the one with it (Ho & Salimans 2022, equation 6, whose
    w is `guidance` - 1); 1 evaluates the network once per row, other values twice.

    The rows are calls from Python, not a `lax.scan`: XLA's CPU backend runs convolutions inside a loop about thirty
    times slower, and on an accelerator the calls are dispatched ahead of the work.
    """
    start = image_noise(seed, index, 0, shape) if start is None else jnp.array(start)
    state = (start, jnp.zeros_like(start))
    for row in jnp.asarray(plan):
        state = advance(apply, params, row, state, seed, index, label, jnp.float32(guidance), guided=guidance != 1)
    return state[0]


evaluate = jax.jit(lambda apply, params, *inputs: apply(params, *inputs), static_argnums=0)


def sample(
    config: Config,
    apply: Callable[..., Array],
    params: Params,
    seed: Array,
    index: Array,
    label: Array,
    *,
    plan: np.ndarray | None = None,
    guidance: float | None = None,
    start: Array | np.ndarray | None = None,
) -> Array:
    """Images [N, H, W, C] in about [-1, 1] of any family: by a plan, or by one evaluation on noise index 0.

    plan, guidance: None for the config's own; start: instead of each image's own noise. See `run_plan`.
    """
    if config.process is None:
        noise = image_noise(seed, index, 0, config.noise_shape) if start is None else jnp.asarray(start)
        return evaluate(apply, params, noise, label)
    return run_plan(
        apply, params, sampler_spec.from_config(config) if plan is None else plan, seed, index, label,
        shape=config.data.shape, guidance=config.guidance if guidance is None else guidance, start=start,
    )  # fmt: skip
