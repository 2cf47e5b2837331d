"""How a run is doing: the loss on test images, samples, and what its family has to show; all of averaged weights."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import Config
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import to_uint8, to_unit
from jaxgen.models import network as networks, sampling
from jaxgen.models.network import Params
from jaxgen.training.data_loading import Batch
from jaxgen.training.diagnostics import ClassifierProbe, DiagnosticReport
from jaxgen.training.families import FAMILIES
from jaxgen.training.restore import load_trained

BATCH = 128  # test images at a time
SETTLED = 500  # steps before which nothing is wrong yet: an untrained generator draws one grey
SHORTEST = 100  # as many in a run that is short, of which it is half the run


@dataclass(frozen=True)
class Monitor:
    """Computes with float32 parameters and within this process, whatever the training does."""

    config: Config
    test: Batch | None  # None if the set has no test split
    judge: ClassifierProbe | None = None  # a classifier, where there is one
    total: int = 2 * SETTLED  # steps of the run
    _said: set[str] = field(default_factory=set, init=False)  # kinds of warnings, each of which is said once

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
        """Mean loss ('loss') and its terms on fixed test images and noise: comparable between checkpoints.

        Empty where there are no test images, or no loss that tells how good the model is.
        """
        if self.test is None or not self._loss:
            return {}
        images, labels = self.test
        scaled = to_unit(images)
        parts = [slice(start, start + BATCH) for start in range(0, len(scaled), BATCH)]
        rows = []
        for i, part in enumerate(parts):
            value, terms = self._loss(params, scaled[part], labels[part], key=jax.random.key(i))
            rows.append({"loss": value, **terms})
        weights = [len(scaled[part]) for part in parts]
        return {name: float(np.average([float(row[name]) for row in rows], weights=weights)) for name in rows[0]}

    def encode(self, params: Params, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What an encoder says of uint8 images [N, H, W, C]: mean and log-variance, both [N, latent]."""
        parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        said = [self.apply(params, to_unit(part), method="encode") for part in parts]
        mean, log_variance = (np.concatenate(part) for part in zip(*said, strict=True))
        return mean, log_variance

    def labels(self, count: int) -> np.ndarray | None:
        """The classes that the first `count` images are of, in turn: [count] int; None of an unconditional model.

        Those that the data leaves out are not drawn: nothing was learned of them.
        """
        shown = [label for label in range(self.config.classes) if label not in self.config.data.without]
        return np.resize(shown, count) if shown else None

    def sample(self, params: Params, count: int = 0) -> np.ndarray:
        """The first `count` (0: `sample_count`) images of seed 0, as the config draws them: uint8 [N, H, W, C]."""
        count = count or self.config.training.sample_count
        labels = self.labels(count)
        images = sampling.sample(
            self.config, self.network.apply, params,
            jnp.zeros(count, jnp.uint32), jnp.arange(count, dtype=jnp.uint32),
            jnp.full(count, -1) if labels is None else jnp.asarray(labels),
        )  # fmt: skip
        return to_uint8(np.asarray(images))

    def watch(self, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
        """What the family has to show; metrics: means of the newest steps, and the last one's "step".

        It warns of nothing before the run has settled, and of each kind of trouble once.
        """
        seen = FAMILIES[self.config.family].watch(self, params, metrics)
        finite = {name: value for name, value in seen.scalars.items() if math.isfinite(value)}
        settled = max(SHORTEST, min(SETTLED, self.total // 2))
        warnings = seen.warnings if metrics.get("step", settled) >= settled else {}
        if lost := [f"{name} {value}" for name, value in seen.scalars.items() if name not in finite]:
            warnings = {**warnings, "not finite": f"{', '.join(lost)}: not finite, so left out of the metrics"}
        fresh = {kind: line for kind, line in warnings.items() if kind not in self._said}
        self._said.update(fresh)
        return replace(seen, scalars=finite, warnings=fresh)


def classifier_probe(config: Config, classifier: Path | None, *, again: bool = False) -> ClassifierProbe | None:
    """The classifier of a run, to look at what `config` draws; None if no run is named.

    again: it is one that a run was given when it began. If it is gone since, the run goes on without, and stderr says
    so in a line. Raises UsageError if the run is no classifier of this data, or if the family looks at none.
    """
    if classifier is None:
        return None
    try:
        return _judge(config, classifier)
    except JaxgenError as err:
        if not again:
            raise UsageError(f"--classifier: {err}") from err
        if jax.process_index() == 0:
            print(f"warning: going on without the classifier: {err}", file=sys.stderr)
        return None


def _judge(config: Config, classifier: Path) -> ClassifierProbe:
    if not FAMILIES[config.family].judged:
        raise UsageError(f"it watches which classes a GAN draws; {config.name} is of family {config.family!r}")
    trained = load_trained(classifier)
    other = trained.config
    if other.is_generator or (other.data.dataset, other.data.shape) != (config.data.dataset, config.data.shape):
        want = f"a classifier of {config.data.dataset} at {config.data.shape}"
        raise UsageError(f"{classifier} is not {want}; train one: jaxgen train --model classifier")
    apply = jax.jit(networks.build(other).apply)

    def judge(images: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, float | None]:
        found = np.asarray(apply(trained.params, to_unit(images))).argmax(-1)
        shares = np.bincount(found, minlength=other.classes) / len(found)
        return shares, None if labels is None else float((found == labels).mean())

    return judge
