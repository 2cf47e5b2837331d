"""The runtimes that a model file is timed against: the same network, plan and noise."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from jaxgen import config as configs
from jaxgen.config import Config
from jaxgen.config.renames import renamed
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.benchmark import PYTORCH, SampleFunction, unguided
from jaxgen.inference.model import Model
from jaxgen.models import network as networks
from jaxgen.models.numerics import root_key
from jaxgen.sampling import plan as plans, prng
from jaxgen_export import bundle, runtimes, torch_models, weight_mapping


def rival_samplers(sampler: Model, threads: int | None = None) -> dict[str, SampleFunction]:
    """PyTorch eager, TorchScript, JAX (which uses all cores) and, for models with a loop, onnxruntime with the loop
    outside the graph.

    Their weights are random: speed does not depend on them, and they cannot be read back from a model file.
    """
    config = _config_of(sampler)
    params = {name: np.asarray(value) for name, value in networks.build(config).init(root_key(0)).items()}
    torch_model = torch_models.build(config)
    weight_mapping.load_into(torch_model, params)
    if threads:
        torch.set_num_threads(threads)
    made = bundle.build(torch_model, torch_model.cores[0], config)
    guidance = unguided(sampler)

    def sample(backend: runtimes.Backend, batch: int, plan: np.ndarray | None) -> object:
        return backend.sample(np.arange(batch), _labels(sampler, batch), plan, guidance=guidance)

    samplers: dict[str, SampleFunction] = {
        PYTORCH: partial(sample, runtimes.Torch(made.eager, config)),
        "torchscript": partial(sample, runtimes.Torch(made.scripted, config)),
        "jax": partial(sample, runtimes.Jax(params, config)),
    }
    if config.process is None:
        return samplers
    outside = runtimes.OnnxRuntime(sampler, made.graph.SerializeToString(), threads)
    return {"onnxruntime, loop outside": partial(_loop_outside, outside), **samplers}


def _config_of(sampler: Model) -> Config:
    """The config in the model's file. Raises JaxgenError if this version of jaxgen does not understand it."""
    artifact = sampler.artifact
    try:
        return configs.from_dict(renamed(artifact.config)[0])
    except UsageError as err:
        raise JaxgenError(
            f"{artifact.path}: the config that it records is not understood here, so its network cannot be built in "
            f"other runtimes: {err}; use --only-onnxruntime"
        ) from err


def _loop_outside(backend: runtimes.OnnxRuntime, batch: int, plan: np.ndarray) -> object:
    """Run the plan in NumPy and call the core once per row; the loop in the graph must be no slower."""
    sampler = backend.sampler
    return plans.run(
        plan,
        prng.image_noise(0, np.arange(batch), 0, sampler.shape),
        lambda x, t: backend.evaluate(x, np.full(batch, t, np.float32), _labels(sampler, batch))[0],
        lambda sample: prng.image_noise(0, np.arange(batch), sample, sampler.shape),
    )


def _labels(sampler: Model, batch: int) -> np.ndarray:
    return np.full(batch, sampler.least_label)
