"""Files of weights alone: safetensors, or PyTorch's pickled state dict."""

from __future__ import annotations

import io
import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from jaxgen.errors import JaxgenError, one_line
from jaxgen.files import read_bytes
from jaxgen.inference.model_file import MAX_BYTES

SAFETENSORS = ".safetensors"


def safetensors_bytes(state: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> bytes:
    """A safetensors file; its metadata describe the model in JSON."""
    metadata = {"jaxgen": manifest["jaxgen"], "weights": manifest["weights"]["sha256"]}
    metadata |= {"config": json.dumps(manifest["config"]), "classes": json.dumps(manifest["inference"]["classes"])}
    return safetensors.torch.save(dict(state), metadata=metadata)


def torch_bytes(state: Mapping[str, Tensor]) -> bytes:
    """What `torch.load(..., weights_only=True)` gives back: a plain dict of tensors."""
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    return stream.getvalue()


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, safetensors by its ending, else a pickled state dict; no code in it ever runs.

    A checkpoint that holds one such dict besides other things ('epoch', 'optimizer') counts as that dict.
    Raises JaxgenError on a file that holds anything but tensors by name.
    """
    data = read_bytes(path, MAX_BYTES)
    state = _unwrapped(_safetensors(data, path) if path.suffix == SAFETENSORS else _pickled(data, path))
    if not isinstance(state, dict) or not state:
        raise JaxgenError(f"{path}: expected a state dict with at least one tensor, got {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            got = type(value).__name__
            raise JaxgenError(f"{path}: expected a tensor for each name, got {got} for {ascii(name)[:60]}")
        if value.layout != torch.strided or value.is_complex() or value.is_quantized:
            raise JaxgenError(f"{path}: {name!r} is no plain tensor of real numbers: {value.dtype}, {value.layout}")
    return state


def _unwrapped(value: object) -> object:
    """The only dict of tensors in a dict that has no tensors itself; else the value unchanged."""
    if not isinstance(value, dict) or any(isinstance(inner, Tensor) for inner in value.values()):
        return value
    states = [
        inner
        for inner in value.values()
        if isinstance(inner, dict) and inner and all(isinstance(tensor, Tensor) for tensor in inner.values())
    ]
    return states[0] if len(states) == 1 else value


def _safetensors(data: bytes, path: Path) -> object:
    try:
        return safetensors.torch.load(data)
    except Exception as err:  # SafetensorError, or KeyError for a type that PyTorch lacks
        raise JaxgenError(f"{path}: is no safetensors file or is damaged: {one_line(err)}") from err


def _pickled(data: bytes, path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unknown protocols, which fail below
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        why = "it is no state dict, is damaged or holds code, which is never run"
        raise JaxgenError(f"{path}: refused: {why}; save it with torch.save(model.state_dict(), path)") from err
    except Exception as err:  # a damaged archive can raise anything
        if "TorchScript" in str(err):
            why = "is a TorchScript file, which is code and is never run"
            raise JaxgenError(f"{path}: {why}; save it with torch.save(model.state_dict(), path)") from err
        raise JaxgenError(f"{path}: is no state dict, is damaged or cut short; get it again") from err
