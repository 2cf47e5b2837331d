"""Weights between Flax and PyTorch: one mapping by name, both ways, and nothing missing or left over."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from jaxgen.errors import JaxgenError

# What Flax calls a module's weight; "bias" and the dotted path to the module are the same on both sides.
WEIGHTS: Mapping[type[nn.Module], str] = {
    nn.Conv2d: "kernel",
    nn.Linear: "kernel",
    nn.GroupNorm: "scale",
    nn.Embedding: "embedding",
}


def torch_name(name: str) -> str:
    """'down.0.blocks.0.conv1.kernel' -> 'down.0.blocks.0.conv1.weight'."""
    path, _, leaf = name.rpartition(".")
    return f"{path}.weight" if leaf in WEIGHTS.values() else name


def torch_layout(name: str, value: np.ndarray) -> np.ndarray:
    """A Flax array in PyTorch's order of axes: kernels HWIO -> OIHW and IO -> OI, all others as they are."""
    if not name.endswith(".kernel"):
        return value
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


def flax_layout(name: str, value: np.ndarray) -> np.ndarray:
    """The inverse of `torch_layout`."""
    if not name.endswith(".kernel"):
        return value
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


def flax_shapes(twin: nn.Module) -> dict[str, tuple[int, ...]]:
    """The parameters that a twin needs, by Flax's names and in Flax's order of axes."""
    shapes = {}
    for path, module in twin.named_modules():
        for leaf, value in module.named_parameters(recurse=False):
            kind = next(name for layer, name in WEIGHTS.items() if isinstance(module, layer))
            name = f"{path}.{kind if leaf == 'weight' else leaf}"
            shapes[name] = flax_layout(name, np.empty(value.shape)).shape
    return shapes


def load_into(twin: nn.Module, params: Mapping[str, np.ndarray]) -> None:
    """Copy Flax parameters into the twin. Raises JaxgenError on a missing, extra or mis-shaped tensor."""
    _compare(flax_shapes(twin), {name: np.shape(value) for name, value in params.items()})
    state = {torch_name(name): torch.tensor(torch_layout(name, np.asarray(value))) for name, value in params.items()}
    twin.load_state_dict(state)


def to_flax(state: Mapping[str, np.ndarray], like: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A PyTorch state as Flax parameters; like: name -> shape of each. Raises JaxgenError as `load_into` does."""
    names = {torch_name(name): name for name in like}
    found = {
        names.get(name, name): np.ascontiguousarray(flax_layout(names.get(name, name), np.asarray(value)))
        for name, value in state.items()
    }
    _compare(dict(like), {name: value.shape for name, value in found.items()})
    return {name: found[name] for name in like}


def weights_hash(params: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and float32 bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(params):
        value = np.ascontiguousarray(params[name], np.float32)
        digest.update(f"{name}{list(value.shape)}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _compare(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> None:
    for what, names in (("missing", wanted.keys() - given.keys()), ("unexpected", given.keys() - wanted.keys())):
        if names:
            raise JaxgenError(f"weights do not fit this config: {len(names)} {what}, the first is {min(names)!r}")
    for name, shape in wanted.items():
        if given[name] != shape:
            raise JaxgenError(f"weights do not fit this config: {name!r} is {given[name]}, expected {shape}")
