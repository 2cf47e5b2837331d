"""Weights that were trained elsewhere, by PyTorch's names, for a model of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jaxgen.config import Config
from jaxgen.errors import JaxgenError, UsageError
from jaxgen_export import twins, weights
from jaxgen_export.weights_file import read_state


def load_state(
    path: Path, config: Config, names: Mapping[str, str] | None = None
) -> tuple[twins.Twin, dict[str, np.ndarray]]:
    """The weights in a safetensors or PyTorch file: in the PyTorch twin, as PyTorch itself loads them, and as
    jaxgen.models names them and in its layout, float32.

    names: foreign name -> that of our PyTorch twin, of tensors ('net.0.weight') or of all below a prefix ('net.0'; ''
    is all there are); the longest that fits counts. A GAN's may be its generator's alone.
    Raises UsageError where `names` has no use or makes one name of two; JaxgenError if the file holds anything but
    tensors (pickled code is refused and never run) or does not fit the config.
    """
    state = renamed(read_state(path), names or {})
    twin = twins.build(config)
    try:
        params = weights.to_flax({name: _array(value) for name, value in state.items()}, twin)
    except JaxgenError as err:
        raise JaxgenError(f"{path}: {err}") from err
    twin.load_state_dict(state, strict=False)  # what may be missing has just been checked
    return twin, params


def renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """A state by our names; see `load_state`."""
    ours: dict[str, Tensor] = {}
    used = set()
    for name, value in state.items():
        prefix = next((prefix for prefix in _prefixes(name) if prefix in names), None)
        new = name
        if prefix is not None:
            used.add(prefix)
            new = _joined(names[prefix], name[len(prefix) :].lstrip(".") if prefix else name)
        if new in ours:
            raise UsageError(f"two tensors of the file would be called {new!r}; the second one is {name!r}")
        ours[new] = value
    if unused := names.keys() - used:
        raise UsageError(f"no tensor of the file is called {min(unused)!r}, or is below that name")
    return ours


def _prefixes(name: str) -> list[str]:
    """The name itself, then shorter and shorter ones: 'a.b' -> ['a.b', 'a', '']."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _joined(prefix: str, rest: str) -> str:
    return ".".join(part for part in (prefix, rest) if part)


def _array(value: Tensor) -> np.ndarray:
    return value.detach().to(torch.float32).numpy()  # NumPy has no bfloat16
