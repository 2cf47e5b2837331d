"""How a run is doing: the loss on test pictures, samples, and what its family has to show; all of averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import Config
from jaxgen.images import to_uint8, to_unit
from jaxgen.models import network as networks, sampling
from jaxgen.models.network import Params
from jaxgen.training.families import FAMILIES
from jaxgen.training.inputs import Batch
from jaxgen.training.watch import Seen

BATCH = 128  # pictures of the test loss at a time

# uint8 pictures -> the share of each class among them, and how many are of the class asked for (None: none was)
Judge = Callable[[np.ndarray], tuple[np.ndarray, float | None]]


@dataclass(frozen=True)
class Monitor:
    """Computes with float32 parameters and within this process, whatever the training does."""

    config: Config
    test: Batch | None  # None if the set has no test split
    judge: Judge | None = None  # a classifier, where there is one

    @cached_property
    def network(self) -> networks.Network:
        return networks.build(self.config)

    @cached_property
    def apply(self) -> Any:
        """The network, compiled."""
        return jax.jit(self.network.apply, static_argnames="method")

    @cached_property
    def _loss(self) -> Any:
        loss = FAMILIES[self.config.family].loss
        return loss and jax.jit(partial(loss(self.config, self.network), train=False))

    def test_loss(self, params: Params) -> dict[str, float]:
        """Mean loss ('loss') and its terms on fixed test pictures and noise: comparable between checkpoints.

        Empty where there are no test pictures, or no loss that tells how good the model is.
        """
        if self.test is None or not self._loss:
            return {}
        pictures, labels = self.test
        images = to_unit(pictures)
        parts = [slice(start, start + BATCH) for start in range(0, len(images), BATCH)]
        rows = []
        for i, part in enumerate(parts):
            value, terms = self._loss(params, images[part], labels[part], key=jax.random.key(i))
            rows.append({"loss": value, **terms})
        weights = [len(images[part]) for part in parts]
        return {name: float(np.average([float(row[name]) for row in rows], weights=weights)) for name in rows[0]}

    def draw(self, params: Params, count: int = 0) -> np.ndarray:
        """The first `count` (0: `sample_count`) pictures of seed 0, as the config draws them: uint8 [N, H, W, C]."""
        count, classes = count or self.config.training.sample_count, self.config.classes
        labels = jnp.arange(count) % classes if classes else jnp.full(count, -1)
        pictures = sampling.draw(
            self.config, self.network.apply, params,
            jnp.zeros(count, jnp.uint32), jnp.arange(count, dtype=jnp.uint32), labels,
        )  # fmt: skip
        return to_uint8(np.asarray(pictures))

    def watch(self, params: Params, metrics: Mapping[str, float]) -> Seen:
        """What the family has to show; metrics: of the newest step."""
        return FAMILIES[self.config.family].watch(self, params, metrics)
