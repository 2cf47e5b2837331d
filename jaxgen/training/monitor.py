"""How a run is doing: the loss on test pictures and a grid of samples, both of the averaged weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import plan
from jaxgen.config import Config
from jaxgen.images import grid, to_uint8, to_unit
from jaxgen.models import network as networks, sampling
from jaxgen.models.network import Params
from jaxgen.training.inputs import Batch
from jaxgen.training.losses import LOSSES

BATCH = 128  # pictures of the test loss at a time


@dataclass(frozen=True)
class Monitor:
    """Computes with float32 parameters and within this process, whatever the training does."""

    config: Config
    test: Batch | None  # None if the set has no test split

    @cached_property
    def network(self) -> networks.Network:
        return networks.build(self.config)

    @cached_property
    def _loss(self) -> Any:
        return jax.jit(partial(LOSSES[self.config.family](self.config, self.network), train=False))

    def test_loss(self, params: Params) -> float | None:
        """Mean loss on fixed test pictures, times and noise: comparable between checkpoints."""
        if self.test is None:
            return None
        pictures, labels = self.test
        images = to_unit(pictures)
        parts = [slice(start, start + BATCH) for start in range(0, len(images), BATCH)]
        losses = [self._loss(params, images[p], labels[p], key=jax.random.key(i)) for i, p in enumerate(parts)]
        return float(np.average([float(loss) for loss in losses], weights=[len(images[p]) for p in parts]))

    def sample_grid(self, params: Params) -> np.ndarray:
        """The first `training.sample_count` pictures of seed 0, by the config's own plan, as one uint8 picture."""
        count = self.config.training.sample_count
        classes = self.config.model.classes
        labels = jnp.arange(count) % classes if classes else jnp.full(count, -1)
        pictures = sampling.sample(
            self.network.apply, params, plan.from_config(self.config.diffusion),
            jnp.zeros(count, jnp.uint32), jnp.arange(count, dtype=jnp.uint32), labels,
            shape=self.config.data.shape, guidance=self.config.diffusion.guidance,
        )  # fmt: skip
        return grid(to_uint8(np.asarray(pictures)))
