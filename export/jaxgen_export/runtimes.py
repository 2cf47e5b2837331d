"""One model on each runtime behind the same functions, so that they can be compared and timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from jaxgen.config import Config
from jaxgen.images import to_uint8, to_unit
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model import Model
from jaxgen.inference.predictor import Predictor
from jaxgen.models import network as networks, sampling
from jaxgen_export.torch_models import ExportSpec

Arrays = list[np.ndarray]
Evaluate = Callable[..., Arrays]  # one evaluation: inputs in order -> outputs in order; a reader's first is pixels
GenerationResult = tuple[np.ndarray, np.ndarray | None]  # images uint8 and, by a plan, x at its end: [B, H, W, C] each


class Backend(Protocol):
    """A model that samples; all inputs and outputs are NumPy arrays."""

    def evaluate(self, *inputs: np.ndarray) -> Arrays:
        """One network evaluation: x [B, H, W, C], t [B] and label int64 [B], or z [B, D] and label."""
        ...

    def sample(
        self,
        index: np.ndarray,
        label: np.ndarray,
        plan: np.ndarray | None = None,
        start: np.ndarray | None = None,
        guidance: float | None = None,
    ) -> GenerationResult:
        """Images `index` of seed 0, from their noise or from `start`: an x for models with plans, else a latent.

        plan, guidance: None for the model's own.
        """
        ...


class Jax:
    """The trained network itself: the reference."""

    def __init__(self, params: Mapping[str, np.ndarray], config: Config, rows: int | None = None) -> None:
        """rows: every batch is filled up to so many images, by repeating them, and cut again: JAX compiles a program
        for each batch size, which takes longer than all evaluations of a certificate. None: batches are as they are."""
        self.config, self.rows = config, rows
        self.params = {name: jnp.asarray(value) for name, value in params.items()}
        self.apply = networks.build(config).apply

    def evaluate(self, *inputs: np.ndarray) -> Arrays:
        *others, label = (filled(value, self.rows) for value in inputs)
        outputs = sampling.evaluate(self.apply, self.params, *others, jnp.asarray(label, jnp.int32))
        return [np.asarray(outputs)[: len(inputs[0])]]

    def sample(
        self,
        index: np.ndarray,
        label: np.ndarray,
        plan: np.ndarray | None = None,
        start: np.ndarray | None = None,
        guidance: float | None = None,
    ) -> GenerationResult:
        count = len(index)
        index, label = filled(index, self.rows), filled(label, self.rows)
        start = None if start is None else filled(start, self.rows)
        sampled = sampling.sample(
            self.config, self.apply, self.params, jnp.zeros(len(index), jnp.uint32), jnp.asarray(index, jnp.uint32),
            jnp.asarray(label, jnp.int32), plan=plan, guidance=guidance, start=start,
        )  # fmt: skip
        x = np.asarray(sampled)[:count]
        return to_uint8(x), None if self.config.process is None else x


class Torch:
    """The PyTorch sampler, eager or TorchScript."""

    def __init__(self, sampler: nn.Module, config: Config) -> None:
        self.sampler, self.config = sampler, config

    def evaluate(self, *inputs: np.ndarray) -> Arrays:
        core: Any = self.sampler.core
        return _in_torch(core, *inputs)

    def sample(
        self,
        index: np.ndarray,
        label: np.ndarray,
        plan: np.ndarray | None = None,
        start: np.ndarray | None = None,
        guidance: float | None = None,
    ) -> GenerationResult:
        inputs = {"seed": np.zeros_like(index), "index": index} | _start(self.config, start)
        inputs |= {"label": label} if self.config.class_count else {}
        inputs |= {} if guidance is None else {"guidance": np.array(guidance, np.float32)}
        inputs |= {} if plan is None else {"plan": plan}
        with torch.inference_mode():
            sampled = self.sampler(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        return (sampled.numpy(), None) if self.config.process is None else (sampled[0].numpy(), sampled[1][0].numpy())


class OnnxRuntime:
    """The exported file, and its core alone for single evaluations."""

    def __init__(self, sampler: Model, graph: bytes, threads: int | None = None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self.sampler = sampler
        self.core = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def evaluate(self, *inputs: np.ndarray) -> Arrays:
        names = [value.name for value in self.core.get_inputs()]  # without label, where there are no classes
        return self.core.run(None, dict(zip(names, inputs, strict=False)))

    def sample(
        self,
        index: np.ndarray,
        label: np.ndarray,
        plan: np.ndarray | None = None,
        start: np.ndarray | None = None,
        guidance: float | None = None,
    ) -> GenerationResult:
        given: dict[str, Any] = _start(self.sampler.inference, start)
        seed = np.zeros_like(index)
        images, state = self.sampler.sample(seed, index, label=label, guidance=guidance, plan=plan, **given)
        return images, None if state is None else state[0]


def filled(values: np.ndarray, rows: int | None) -> np.ndarray:
    """[N, ...] repeated up to [rows, ...] where N is fewer; as it is where rows is None."""
    return values if rows is None or len(values) >= rows else np.resize(values, (rows, *values.shape[1:]))


def jax_predictor(
    params: Mapping[str, np.ndarray], config: Config, core: ExportSpec, rows: int | None = None
) -> Evaluate:  # fmt: skip
    """The trained network of a model that reads uint8 images, and their labels if it takes them; rows: see `Jax`."""
    evaluate = jax.jit(partial(networks.build(config).apply, method=core.method))

    def read(images: np.ndarray, *label: np.ndarray) -> Arrays:
        weights = {name: jnp.asarray(value) for name, value in params.items()}
        labels = [jnp.asarray(filled(one, rows), jnp.int32) for one in label]
        outputs = evaluate(weights, to_unit(filled(images, rows)), *labels)
        return [np.asarray(value)[: len(images)] for value in jax.tree.leaves(outputs)]

    return read


def torch_predictor(reader: nn.Module) -> Evaluate:
    """The PyTorch reader, eager or TorchScript."""
    return partial(_in_torch, reader)


def onnxruntime_predictor(reader: Predictor) -> Evaluate:
    """The exported file."""
    return lambda *inputs: list(reader.read(*inputs).values())


def _in_torch(module: nn.Module, *inputs: np.ndarray) -> Arrays:
    with torch.inference_mode():
        outputs = module(*map(torch.from_numpy, inputs))
    return [value.numpy() for value in (outputs if isinstance(outputs, tuple) else (outputs,))]


def _start(model: Config | Inference, start: np.ndarray | None) -> dict[str, np.ndarray]:
    """The input of the contract that holds the start, by name."""
    if start is None:
        return {}
    return {"latent": start} if model.process is None else {"state": np.stack([start, np.zeros_like(start)])}
