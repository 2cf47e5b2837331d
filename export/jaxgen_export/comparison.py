"""Whether JAX and PyTorch make the same of weights: what an import proves before it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.config import Config
from jaxgen.parity import MAX_RELATIVE, compare_pictures, errors, same_pictures
from jaxgen_export import backends, torch_sampler, twins, weights
from jaxgen_export.certificate import labels as labels_of

COUNT = 16  # pictures


def compare(config: Config, params: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """{"same": bool, "line": in words}: COUNT pictures drawn by both, or read by both where the model draws none.

    params: as jaxgen.models names them.
    """
    twin = twins.build(config)
    weights.load_into(twin, params)
    core = twin.cores[0]
    module = core.part(twin).eval()
    if core.reads:
        pictures = np.random.default_rng(0).integers(0, 256, (COUNT, *config.data.shape), np.uint8)
        read = backends.torch_reader(torch_sampler.Reader(module).eval())
        pairs = zip(read(pictures), backends.jax_reader(params, config, core)(pictures), strict=True)
        relative = max(errors(found, want)["relative"] for found, want in pairs)
        line = f"{', '.join(core.outputs)} of {COUNT} pictures within {relative:.1e} relative"
        return {"same": relative <= MAX_RELATIVE, "line": line}
    index, labels = np.arange(COUNT), labels_of(config, COUNT)
    drawers = (backends.Torch(torch_sampler.sampler(module, config), config), backends.Jax(params, config))
    found, want = (drawer.draw(index, labels)[0] for drawer in drawers)
    result = compare_pictures(found, want)
    line = f"{result['identical']:.3%} of pixels identical in {COUNT} pictures, off by {result['off_by']} at most"
    return {"same": same_pictures(found, want), "line": line}
