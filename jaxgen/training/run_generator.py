"""A run's model for `jaxgen eval`: the averaged weights of its last checkpoint, sampled in JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import VAE
from jaxgen.errors import UsageError
from jaxgen.evaluation.generators import Settings
from jaxgen.evaluation.likelihood import Autoencoder
from jaxgen.images import to_uint8, to_unit
from jaxgen.models import network as networks, sampling
from jaxgen.models.network import Network
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.process import MAX_GUIDANCE
from jaxgen.sampling.sampler_spec import SamplerSpec
from jaxgen.training.restore import Trained, load_trained


@dataclass(frozen=True)
class RunGenerator:
    """See `jaxgen.evaluation.generators.Generator`."""

    folder: Path
    trained: Trained
    network: Network
    compiles: ClassVar[bool] = True  # before its first images

    @classmethod
    def open(cls, folder: Path, say: Callable[[str], None] | None = None) -> Self:
        """Raises as `load_trained` does, and UsageError for a run that generates no images."""
        trained = load_trained(folder, say=say)
        if not trained.config.is_generator:
            raise UsageError(f"{folder} is the run of a {trained.config.family}, which generates no images")
        return cls(folder, trained, networks.build(trained.config))

    @property
    def name(self) -> str:
        return f"{self.folder} (step {self.trained.step})"

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.trained.config.data.shape

    @property
    def classes(self) -> tuple[str, ...]:
        return self.trained.classes

    def count(self, wanted: int) -> int:
        return wanted

    def evaluations(self, settings: Settings) -> int:
        recipe = self._recipe(settings)
        return recipe.steps if recipe else 1

    def batches(self, count: int, *, seed: int, settings: Settings, batch_size: int) -> Iterator[np.ndarray]:
        config, recipe = self.trained.config, self._recipe(settings)
        plan = sampler_spec.table(config.process, recipe) if config.process and recipe else None
        params: Any = self.trained.params
        for start in range(0, count, batch_size):
            # The last batch is as large as the others, or JAX would compile everything once more.
            index = np.arange(start, start + min(batch_size, count))
            label = index % len(self.classes) if self.classes else np.full(len(index), -1)
            images = sampling.sample(
                config, self.network.apply, params,
                jnp.full(len(index), seed, jnp.uint32), jnp.asarray(index, jnp.uint32), jnp.asarray(label, jnp.int32),
                plan=plan, guidance=settings.guidance,
            )  # fmt: skip
            yield to_uint8(np.asarray(images))[: count - start]

    def _recipe(self, settings: Settings) -> SamplerSpec | None:
        """The recipe of the plan, None without a process. Raises UsageError for what the model cannot do."""
        config, guidance = self.trained.config, settings.guidance
        if config.process is None:
            if any(value is not None for value in settings):
                raise UsageError(f"{self.folder} samples in one evaluation: it has no plan, steps or guidance")
            return None
        if guidance is not None and not self.classes:
            raise UsageError(f"{self.folder} is unconditional: it takes no guidance")
        if guidance is not None and not 0 <= guidance <= MAX_GUIDANCE:
            raise UsageError(f"guidance must be from 0 to {MAX_GUIDANCE}, got {guidance}")
        recipe = sampler_spec.choose(config, sampler=settings.sampler, steps=settings.steps, spacing=settings.spacing)
        sampler_spec.table(config.process, recipe)  # raises if there is none
        return recipe

    def autoencoder(self) -> Autoencoder:
        config = self.trained.config
        if not isinstance(config, VAE):
            raise UsageError("the model has no likelihood, as VAEs have")
        params, conditional = self.trained.params, bool(self.classes)
        takes_label = config.encoder_label
        encoding = jax.jit(partial(self.network.apply, method="encode"))
        decoding = jax.jit(lambda *inputs: jax.nn.sigmoid(self.network.apply(*inputs, method="decode")))

        def encode(images: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
            mean, log_variance = encoding(params, to_unit(images), *([label] if takes_label else []))
            return np.asarray(mean), np.asarray(log_variance)

        def decode(latents: np.ndarray, label: np.ndarray | None) -> np.ndarray:
            given = label if conditional and label is not None else np.full(len(latents), -1)
            return np.asarray(decoding(params, latents, jnp.asarray(given, jnp.int32)))

        return Autoencoder(
            encode=encode, decode=decode, likelihood=config.vae.likelihood, sigma=config.vae.sigma,
            binarized=config.vae.binarization == "dynamic",
        )  # fmt: skip
