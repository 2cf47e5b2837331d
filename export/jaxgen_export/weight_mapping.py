"""Map weights between Flax and PyTorch by the layers' types, in both directions; none may be missing or left over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from jaxgen.errors import JaxgenError
from jaxgen_export.torch_models import TorchModel

Weights = Mapping[str, np.ndarray]  # by the names that jaxgen.models gives them
Reorder = Callable[[np.ndarray], np.ndarray]


def _as_it_is(value: np.ndarray) -> np.ndarray:
    return value


@dataclass(frozen=True)
class Layer:
    """names: Flax's names of a layer's tensors, by PyTorch's; to_torch, to_flax: how to reorder its weight's axes."""

    names: Mapping[str, str]
    to_torch: Reorder = _as_it_is
    to_flax: Reorder = _as_it_is


AFFINE = {"weight": "scale", "bias": "bias"}
KERNEL = {"weight": "kernel", "bias": "bias"}

LAYERS: Mapping[type[nn.Module], Layer] = {
    nn.Linear: Layer(KERNEL, np.transpose, np.transpose),
    # HWIO <-> OIHW
    nn.Conv2d: Layer(KERNEL, lambda w: w.transpose(3, 2, 0, 1), lambda w: w.transpose(2, 3, 1, 0)),
    # HWIO <-> IOHW; Flax correlates where PyTorch convolves, so the kernel turns by half a circle as well.
    nn.ConvTranspose2d: Layer(
        KERNEL, lambda w: w[::-1, ::-1].transpose(2, 3, 0, 1), lambda w: w.transpose(2, 3, 0, 1)[::-1, ::-1]
    ),
    nn.GroupNorm: Layer(AFFINE),
    nn.BatchNorm2d: Layer(AFFINE | {"running_mean": "mean", "running_var": "var"}),
    nn.Embedding: Layer({"weight": "embedding"}),
}
SHOWN = 3  # how many names an error lists
COUNTER = "num_batches_tracked"  # of BatchNorm2d, unused when its momentum is given: not read, and written as 0


@dataclass(frozen=True)
class Crossing:
    """One tensor on both sides: its names, its shape in PyTorch, and how to reorder its axes."""

    torch_name: str
    flax_name: str
    shape: tuple[int, ...]
    to_torch: Reorder
    to_flax: Reorder

    @property
    def flax_shape(self) -> tuple[int, ...]:
        return self.to_flax(np.empty(self.shape, np.bool_)).shape


def crossings(model: nn.Module) -> list[Crossing]:
    """All tensors of a model's state, except counters."""
    tensors = []
    for path, module in model.named_modules():
        layer = next((layer for kind, layer in LAYERS.items() if isinstance(module, kind)), None)
        for leaf, value in module.state_dict().items():
            if layer and leaf in layer.names:
                axes = (layer.to_torch, layer.to_flax) if leaf == "weight" else (_as_it_is, _as_it_is)
                names = f"{path}.{leaf}".lstrip("."), f"{path}.{layer.names[leaf]}".lstrip(".")
                tensors.append(Crossing(*names, tuple(value.shape), *axes))
    return tensors


def torch_state(model: TorchModel, params: Weights) -> dict[str, Tensor]:
    """Flax parameters by PyTorch's names and in its layout, in the order of the model's own `state_dict`.

    Raises JaxgenError on a missing, extra or mis-shaped tensor; a part that the model calls optional may be left out.
    """
    of = {crossing.flax_name: crossing for crossing in crossings(model)}
    shapes = {name: np.shape(value) for name, value in params.items()}
    _compare({name: crossing.flax_shape for name, crossing in of.items()}, shapes, model.optional)
    state = {
        crossing.torch_name: torch.from_numpy(crossing.to_torch(np.asarray(params[name], np.float32)).copy())
        for name, crossing in of.items()
        if name in params
    }
    layers = {name.rpartition(".")[0] for name in state}
    for name in model.state_dict():
        layer, _, leaf = name.rpartition(".")
        if leaf == COUNTER and layer in layers:
            state[name] = torch.tensor(0)
    return {name: state[name] for name in model.state_dict() if name in state}


def load_into(model: TorchModel, params: Weights) -> None:
    """Copy Flax parameters into the model; raises JaxgenError as `torch_state` does."""
    model.load_state_dict(torch_state(model, params), strict=False)  # torch_state has checked what may be missing


def to_flax(state: Mapping[str, np.ndarray], model: TorchModel) -> dict[str, np.ndarray]:
    """A PyTorch state of this kind of model as Flax parameters, float32; the model's own weights are not read.

    Raises JaxgenError on a missing, extra or mis-shaped tensor, by PyTorch's names; a part that the model calls
    optional may be left out.
    """
    of = {crossing.torch_name: crossing for crossing in crossings(model)}
    given = {name: np.asarray(value) for name, value in state.items() if not name.endswith(f".{COUNTER}")}
    shapes = {name: value.shape for name, value in given.items()}
    _compare({name: crossing.shape for name, crossing in of.items()}, shapes, model.optional)
    return {
        crossing.flax_name: np.ascontiguousarray(crossing.to_flax(given[name]), np.float32)
        for name, crossing in of.items()
        if name in given
    }


def _compare(
    wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]], optional: tuple[str, ...]
) -> None:
    left_out = {part for part in optional if not any(name.startswith(f"{part}.") for name in given)}
    wanted = {name: shape for name, shape in wanted.items() if name.partition(".")[0] not in left_out}
    differing = {"missing": wanted.keys() - given.keys(), "unexpected": given.keys() - wanted.keys()}
    if any(differing.values()):
        lists = [f"{len(names)} {what} ({_few(names)})" for what, names in differing.items() if names]
        raise JaxgenError(f"weights do not fit this config: {' and '.join(lists)}")
    for name, shape in wanted.items():
        if given[name] != shape:
            raise JaxgenError(f"weights do not fit this config: {name!r} is {given[name]}, expected {shape}")


def _few(names: Collection[str]) -> str:
    """The first of some names."""
    return ", ".join(map(repr, sorted(names)[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
