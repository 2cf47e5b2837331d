"""Load weights that were trained elsewhere, under PyTorch's names, into a jaxgen model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from jaxgen.config import Config
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.verify import MAX_RELATIVE, compare_images, errors, same_images
from jaxgen_export import runtimes, torch_models, torchscript, weight_mapping
from jaxgen_export.certificate import labels, reader_inputs
from jaxgen_export.torch_models import ExportSpec, TorchModel
from jaxgen_export.weight_files import read_state
from jaxgen_export.weight_mapping import Weights

T = TypeVar("T")


def load_state(
    path: Path, config: Config, names: Mapping[str, str] | None = None
) -> tuple[torch_models.TorchModel, dict[str, np.ndarray]]:
    """The weights in a safetensors or PyTorch file: as a PyTorch model, and as jaxgen.models names them and in its
    layout, float32.

    names: foreign name -> that of our PyTorch model, of tensors ('net.0.weight') or of all below a prefix ('net.0'; ''
    is all there are); the longest that fits counts. A GAN's may be its generator's alone.
    Raises UsageError if an entry of `names` is unused or gives two tensors one name; JaxgenError if the file holds
    anything but tensors (pickled code is refused and never run), holds NaN, or does not fit the config.
    """
    given = read_state(path)
    arrays = {name: _array(value) for name, value in given.items()}
    if broken := [name for name, value in arrays.items() if not np.isfinite(value).all()]:
        raise JaxgenError(f"{path}: {broken[0]!r} holds NaN or infinity; get the weights again, or train them again")
    ours, model = renamed(arrays, names or {}), torch_models.build(config)
    try:
        params = weight_mapping.to_flax(ours, model)
    except JaxgenError as err:
        raise JaxgenError(f"{path}: {err}{'' if names else _advice(arrays, model)}") from err
    model.load_state_dict(renamed(given, names or {}), strict=False)  # what may be missing has just been checked
    return model, params


def renamed(state: Mapping[str, T], names: Mapping[str, str]) -> dict[str, T]:
    """A state by our names; see `load_state`."""
    ours: dict[str, T] = {}
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


def _advice(arrays: Mapping[str, np.ndarray], model: torch_models.TorchModel) -> str:
    """'; try --map ...' if replacing one prefix makes all names fit, else ''."""
    first = min(arrays)
    for theirs in _prefixes(first)[1:]:
        rest = first[len(theirs) :].lstrip(".") if theirs else first
        for ours in sorted({name.removesuffix(rest) for name in model.state_dict() if name.endswith(rest)}):
            if (not ours or ours.endswith(".")) and _fits(arrays, {theirs: ours.rstrip(".")}, model):
                return f"; try --map {theirs}={ours.rstrip('.')}"
    return ""


def _fits(arrays: Mapping[str, np.ndarray], names: Mapping[str, str], model: torch_models.TorchModel) -> bool:
    try:
        weight_mapping.to_flax(renamed(arrays, names), model)
    except JaxgenError:
        return False
    return True


def _prefixes(name: str) -> list[str]:
    """The name itself, then shorter and shorter ones: 'a.b' -> ['a.b', 'a', '']."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _joined(prefix: str, rest: str) -> str:
    return ".".join(part for part in (prefix, rest) if part)


def _array(value: Tensor) -> np.ndarray:
    return value.detach().to(torch.float32).numpy()  # NumPy has no bfloat16


COUNT = 16  # images


def compare(config: Config, model: TorchModel, params: Weights) -> tuple[bool, str]:
    """Whether both sides sample or read images alike, and how far apart they are, in words.

    model: the PyTorch side, with its own weights; params: the same, as jaxgen.models names them.
    """
    results = [(_compare_read if core.reads else _compare_sampled)(config, core, model, params) for core in model.cores]
    return all(same for same, _ in results), "; ".join(line for _, line in results)


def _compare_sampled(config: Config, core: ExportSpec, model: TorchModel, params: Weights) -> tuple[bool, str]:
    module = core.part(model).eval()
    index, label = np.arange(COUNT), labels(config, COUNT)
    images, _ = runtimes.Torch(torchscript.sampler(module, config), config).sample(index, label)
    want, _ = runtimes.Jax(params, config).sample(index, label)
    result = compare_images(images, want)
    line = f"{result['identical']:.3%} of pixels identical in {COUNT} images, off by {result['off_by']} at most"
    return same_images(images, want), line


def _compare_read(config: Config, core: ExportSpec, model: TorchModel, params: Weights) -> tuple[bool, str]:
    module = core.part(model).eval()
    images = np.random.default_rng(0).integers(0, 256, (COUNT, *config.data.shape), np.uint8)
    given = reader_inputs(config, images)
    outputs = runtimes.torch_predictor(torchscript.Predictor(module).eval())(*given)
    want = runtimes.jax_predictor(params, config, core)(*given)
    relative = float(np.max([errors(a, b)["relative"] for a, b in zip(outputs, want, strict=True)]))
    return relative <= MAX_RELATIVE, f"{', '.join(core.outputs)} of {COUNT} images within {relative:.1e} relative"
