"""Networks as pure functions of their parameters, which are one flat dict: dotted name -> array.

Checkpoints and the PyTorch models use the same names. The parameters include the running statistics of norms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxgen.config import ClassifierConfig, Config, GANConfig, UNetConfig, VAEConfig
from jaxgen.errors import JaxgenError
from jaxgen.models.classifier import Classifier
from jaxgen.models.gan import GAN
from jaxgen.models.numerics import pin, root_key
from jaxgen.models.unet import UNet
from jaxgen.models.vae import VAE

Params = dict[str, Array]

# module(config.model, size, channels, dtype=, rngs=); sampling evaluates its __call__.
MODULES: dict[type, Callable[..., nnx.Module]] = {
    UNetConfig: UNet,
    VAEConfig: VAE,
    GANConfig: GAN,
    ClassifierConfig: Classifier,
}


@dataclass(frozen=True)
class Network:
    """`apply(params, *inputs, method=..., **options)` returns the output of the module's method, without side effects.

    `train` also returns the updated running statistics. `trainable` holds the names of all other parameters, which
    gradients change.
    """

    init: Callable[[Array], Params]
    apply: Callable[..., Any]
    train: Callable[..., tuple[Any, Params]]
    trainable: frozenset[str]


def build(config: Config, dtype: str = "float32") -> Network:
    """The network of a config; parameters are float32 for every dtype of the computation.

    It pins JAX's settings, because all that a network computes depends on them: see `jaxgen.models.numerics.pin`.
    """
    pin()

    def module(key: Array) -> nnx.Module:
        make = MODULES[type(config.model)]
        data = config.data
        return make(config.model, data.size, data.channels, dtype=jnp.dtype(dtype), rngs=nnx.Rngs(params=key))

    abstract = nnx.eval_shape(lambda: module(root_key(0)))
    graph, _ = nnx.split(abstract)
    leaves = {_dotted(path): leaf for path, leaf in nnx.to_flat_state(nnx.state(abstract, WEIGHTS))}
    kinds = {name: type(leaf) for name, leaf in leaves.items()}

    def init(key: Array) -> Params:
        return _flat(module(key))

    def merged(params: Params) -> nnx.Module:
        # A GAN samples without its discriminator: a part may be missing as a whole if the method does not read it.
        absent = leaves.keys() - params.keys()
        if parts := {_part(name) for name in absent} & {_part(name) for name in params}:
            raise JaxgenError(f"weights are incomplete: {min(n for n in absent if _part(n) in parts)!r} is missing")
        # NaN, so that reading a missing part shows.
        whole = params | {name: jnp.full(leaves[name].shape, jnp.nan) for name in absent}
        return nnx.merge(graph, nnx.from_flat_state([(_path(name), kinds[name](whole[name])) for name in leaves]))

    def apply(params: Params, *inputs: Any, method: str = "__call__", **options: Any) -> Any:
        return getattr(merged(params), method)(*inputs, **options)

    def train(params: Params, *inputs: Any, method: str = "__call__", **options: Any) -> tuple[Any, Params]:
        whole = merged(params)
        out = getattr(whole, method)(*inputs, **options)
        return out, {name: value for name, value in _flat(whole).items() if kinds[name] is nnx.BatchStat}

    trainable = frozenset(name for name, kind in kinds.items() if kind is nnx.Param)
    return Network(init=init, apply=apply, train=train, trainable=trainable)


def fresh(config: Config, seed: int = 0) -> dict[str, np.ndarray]:
    """The initial weights of a run, NumPy float32."""
    init = jax.jit(build(config).init)
    return {name: np.asarray(value) for name, value in init(root_key(seed)).items()}


WEIGHTS = nnx.Any(nnx.Param, nnx.BatchStat)


def parameter_count(params: Params) -> int:
    return sum(value.size for value in params.values())


def weights_hash(params: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and float32 bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(params):
        value = np.ascontiguousarray(params[name], np.float32)
        digest.update(f"{name}{list(value.shape)}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _flat(module: nnx.Module) -> Params:
    return {_dotted(path): leaf[...] for path, leaf in nnx.to_flat_state(nnx.state(module, WEIGHTS))}


def _part(name: str) -> str:
    return name.partition(".")[0]


def _dotted(path: Iterable[object]) -> str:
    return ".".join(map(str, path))


def _path(name: str) -> tuple[str | int, ...]:
    return tuple(int(part) if part.isdigit() else part for part in name.split("."))
