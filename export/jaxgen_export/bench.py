"""The runtimes that a model file is timed against: the same network, plan and noise."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import torch

from jaxgen import plan as plans, prng
from jaxgen.bench import PYTORCH, Draw, unguided
from jaxgen.models import network as networks
from jaxgen.sampler import Sampler
from jaxgen_export import backends, onnx_graph, torch_sampler, twins, weights


def rival_draws(sampler: Sampler, threads: int | None = None) -> dict[str, Draw]:
    """PyTorch eager, TorchScript, JAX (which uses all cores), and onnxruntime with the loop outside the graph.

    Their weights are random: speed does not depend on them, and a model file does not give its own back.
    """
    config = sampler.config
    params = {name: np.asarray(value) for name, value in networks.build(config).init(jax.random.key(0)).items()}
    twin = twins.build(config)
    weights.load_into(twin, params)
    if threads:
        torch.set_num_threads(threads)
    default = torch.from_numpy(plans.from_config(config.diffusion))
    eager = torch_sampler.build(twin, config, default)
    denoiser = onnx_graph.export_denoiser(twin, config).SerializeToString()
    onnx_backend = backends.OnnxRuntime(sampler, denoiser, threads)
    guidance = unguided(sampler)

    def draw(backend: backends.Backend, batch: int, plan: np.ndarray) -> object:
        return backend.draw(np.arange(batch), _labels(batch), plan, guidance=guidance)

    return {
        "onnxruntime, loop outside": partial(_loop_outside, onnx_backend),
        PYTORCH: partial(draw, backends.Torch(eager, config)),
        "torchscript": partial(draw, backends.Torch(torch_sampler.script(eager, config), config)),
        "jax": partial(draw, backends.Jax(params, config)),
    }


def _loop_outside(backend: backends.OnnxRuntime, batch: int, plan: np.ndarray) -> object:
    """NumPy runs the plan and calls the denoiser once a row: what the loop in the graph is to be no slower than."""
    start = prng.image_noise(0, np.arange(batch), 0, backend.sampler.shape)
    return plans.run(
        plan,
        start,
        lambda x, t: backend.evaluate(x, np.full(batch, t, np.float32), _labels(batch)),
        lambda draw: prng.image_noise(0, np.arange(batch), draw, backend.sampler.shape),
    )


def _labels(batch: int) -> np.ndarray:
    return np.full(batch, -1)
