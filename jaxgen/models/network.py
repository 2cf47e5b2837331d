"""A network as a pure function of its parameters, which are one flat dict: dotted name -> array.

The names are what checkpoints hold and what crosses to PyTorch, so they are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxgen.config import Config
from jaxgen.models.unet import UNet

Params = dict[str, Array]


@dataclass(frozen=True)
class Network:
    """`apply(params, x, t, label, key=None)`, with x [B, H, W, C] in [-1, 1] and label -1 for none."""

    apply: Callable[..., Array]
    init: Callable[[Array], Params]


def build(config: Config, dtype: str = "float32") -> Network:
    """The network that a config describes; parameters are float32 whatever the computation's dtype."""

    def module(key: Array) -> UNet:
        rngs = nnx.Rngs(params=key)
        return UNet(config.model, config.data.size, config.data.channels, dtype=jnp.dtype(dtype), rngs=rngs)

    abstract = nnx.eval_shape(lambda: module(jax.random.key(0)))
    graph, _ = nnx.split(abstract)

    def init(key: Array) -> Params:
        return {_dotted(path): leaf[...] for path, leaf in nnx.to_flat_state(nnx.state(module(key), nnx.Param))}

    def apply(params: Params, x: Array, t: Array, label: Array, *, key: Array | None = None) -> Array:
        flat = [(_path(name), nnx.Param(value)) for name, value in params.items()]
        return nnx.merge(graph, nnx.from_flat_state(flat))(x, t, label, key=key)

    return Network(apply=apply, init=init)


def parameter_count(params: Params) -> int:
    return sum(value.size for value in params.values())


def _dotted(path: Iterable[object]) -> str:
    return ".".join(map(str, path))


def _path(name: str) -> tuple[str | int, ...]:
    return tuple(int(part) if part.isdigit() else part for part in name.split("."))
