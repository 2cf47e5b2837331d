"""Whether JAX and PyTorch make the same of weights: what an import proves before it is believed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jaxgen.config import Config
from jaxgen.inference.verify import MAX_RELATIVE, compare_pictures, errors, same_pictures
from jaxgen_export import runtimes, torchscript
from jaxgen_export.certificate import labels
from jaxgen_export.torch_models import Core, Twin

COUNT = 16  # pictures

Params = Mapping[str, np.ndarray]


def compare(config: Config, twin: Twin, params: Params) -> tuple[bool, str]:
    """Whether they are the same, and how far apart, in words: pictures drawn by both, or read by both.

    twin: the PyTorch side, with its own weights; params: the same, as jaxgen.models names them.
    """
    results = [(_read if core.reads else _drawn)(config, core, twin, params) for core in twin.cores]
    return all(same for same, _ in results), "; ".join(line for _, line in results)


def _drawn(config: Config, core: Core, twin: Twin, params: Params) -> tuple[bool, str]:
    module = core.part(twin).eval()
    index, label = np.arange(COUNT), labels(config, COUNT)
    found, _ = runtimes.Torch(torchscript.sampler(module, config), config).draw(index, label)
    want, _ = runtimes.Jax(params, config).draw(index, label)
    result = compare_pictures(found, want)
    line = f"{result['identical']:.3%} of pixels identical in {COUNT} pictures, off by {result['off_by']} at most"
    return same_pictures(found, want), line


def _read(config: Config, core: Core, twin: Twin, params: Params) -> tuple[bool, str]:
    module = core.part(twin).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (COUNT, *config.data.shape), np.uint8)
    found = runtimes.torch_reader(torchscript.Reader(module).eval())(pictures)
    want = runtimes.jax_reader(params, config, core)(pictures)
    relative = float(np.max([errors(a, b)["relative"] for a, b in zip(found, want, strict=True)]))
    return relative <= MAX_RELATIVE, f"{', '.join(core.outputs)} of {COUNT} pictures within {relative:.1e} relative"
