"""What all numbers of a run depend on besides its config: the generator of random numbers, and JAX's settings."""

from __future__ import annotations

import jax
from jax import Array

IMPLEMENTATION = "threefry2x32"  # the generator that exported files hold, too
PINNED = {"jax_enable_x64": False, "jax_default_prng_impl": IMPLEMENTATION, "jax_threefry_partitionable": True}


def root_key(seed: int | Array) -> Array:
    """The key of a seed, by the same generator whatever JAX_DEFAULT_PRNG_IMPL says."""
    return jax.random.key(seed, impl=IMPLEMENTATION)


def pin() -> dict[str, object]:
    """Set JAX's settings in `PINNED` for the whole process; returns those that were otherwise, as they were.

    JAX_ENABLE_X64 and JAX_THREEFRY_PARTITIONABLE in the environment would change the dtype or the random numbers, and
    so the run, without a word. A setting that this version of JAX no longer has is left out.
    """
    before = settings()
    changed = {name: value for name, value in before.items() if value != PINNED[name]}
    for name in changed:
        jax.config.update(name, PINNED[name])
    return changed


def settings() -> dict[str, object]:
    """The values of the settings in `PINNED` now."""
    return {name: getattr(jax.config, name) for name in PINNED if hasattr(jax.config, name)}
