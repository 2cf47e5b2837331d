"""One model on each runtime, behind the same two functions, so that they can be compared and timed alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime as ort
import torch

from jaxgen.config import Config
from jaxgen.models import network as networks, sampling
from jaxgen.sampler import Sampler
from jaxgen_export import torch_sampler


class Backend(Protocol):
    """Arrays are NumPy on every side; pictures [B, H, W, C]."""

    def evaluate(self, x: np.ndarray, t: np.ndarray, label: np.ndarray) -> np.ndarray:
        """One network evaluation: x float32, t float32 [B], label int64 [B] -> float32."""
        ...

    def draw(
        self,
        index: np.ndarray,
        label: np.ndarray,
        plan: np.ndarray,
        start: np.ndarray | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """x at the end of a plan for pictures `index` of seed 0, from their noise or from `start`; float32.

        guidance: None for the model's own; conditional models only.
        """
        ...


class Jax:
    """The trained network itself: the reference."""

    def __init__(self, params: Mapping[str, np.ndarray], config: Config) -> None:
        self.config = config
        self.params = {name: jnp.asarray(value) for name, value in params.items()}
        self.apply = networks.build(config).apply
        self._evaluate = jax.jit(self.apply)

    def evaluate(self, x: np.ndarray, t: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.asarray(self._evaluate(self.params, x, t, label.astype(np.int32)))

    def draw(
        self,
        index: np.ndarray,
        label: np.ndarray,
        plan: np.ndarray,
        start: np.ndarray | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        x = sampling.sample(
            self.apply, self.params, plan, jnp.zeros(len(index), jnp.uint32), jnp.asarray(index, jnp.uint32),
            jnp.asarray(label, jnp.int32), shape=self.config.data.shape, start=start,
            guidance=self.config.diffusion.guidance if guidance is None else guidance,
        )  # fmt: skip
        return np.asarray(x)


class Torch:
    """The PyTorch sampler, eager or TorchScript."""

    def __init__(self, sampler: torch_sampler.Sampler | torch.jit.ScriptModule, config: Config) -> None:
        self.sampler, self.conditional = sampler, config.model.classes > 0

    def evaluate(self, x: np.ndarray, t: np.ndarray, label: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.sampler.denoiser(*(torch.from_numpy(value) for value in (x, t, label))).numpy()

    def draw(
        self,
        index: np.ndarray,
        label: np.ndarray,
        plan: np.ndarray,
        start: np.ndarray | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        inputs = {"seed": np.zeros_like(index), "index": index, "plan": plan}
        inputs |= {"label": label} if self.conditional else {}
        inputs |= {} if guidance is None else {"guidance": np.array(guidance, np.float32)}
        inputs |= {} if start is None else {"state": np.stack([start, np.zeros_like(start)])}
        with torch.inference_mode():
            return self.sampler(**{name: torch.from_numpy(value) for name, value in inputs.items()})[1][0].numpy()


class OnnxRuntime:
    """The exported file, and its denoiser alone for single evaluations."""

    def __init__(self, sampler: Sampler, denoiser: bytes, threads: int | None = None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self.sampler = sampler
        self.denoiser = ort.InferenceSession(denoiser, options, providers=["CPUExecutionProvider"])

    def evaluate(self, x: np.ndarray, t: np.ndarray, label: np.ndarray) -> np.ndarray:
        feeds = {"x": x, "t": t} | ({"label": label} if self.sampler.classes else {})
        return self.denoiser.run(None, feeds)[0]

    def draw(
        self,
        index: np.ndarray,
        label: np.ndarray,
        plan: np.ndarray,
        start: np.ndarray | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        state = None if start is None else np.stack([start, np.zeros_like(start)])
        seed = np.zeros_like(index)
        return self.sampler.draw(seed, index, label=label, guidance=guidance, plan=plan, state=state)[1][0]
