"""Monitoring of a run with the averaged weights: the test loss, samples and the diagnostics of its family."""

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
from jaxgen.data.batches import Batch
from jaxgen.data.identity import Identity
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import to_uint8, to_unit
from jaxgen.models import network as networks, sampling
from jaxgen.models.network import Params
from jaxgen.models.numerics import root_key
from jaxgen.runs.folder import RunFolder
from jaxgen.training.diagnostics import ClassifierProbe, DiagnosticReport
from jaxgen.training.families import FAMILIES
from jaxgen.training.restore import load_trained

BATCH = 128  # test images at a time
SETTLED = 500  # steps without warnings: the samples of an untrained generator are all grey
SHORTEST = 100  # the same in short runs, whose limit is half the run


@dataclass(frozen=True)
class Monitor:
    """Computes in float32 and within this process, independently of the training."""

    config: Config
    test: Batch | None  # None if the dataset has no test split
    judge: ClassifierProbe | None = None
    total: int = 2 * SETTLED  # steps of the run
    built: networks.Network | None = None  # the network in float32, if there is one already
    _warned: set[str] = field(default_factory=set, init=False)  # kinds of warnings given, each at most once

    @cached_property
    def network(self) -> networks.Network:
        return self.built or networks.build(self.config)

    @cached_property
    def apply(self) -> Any:
        """The network, compiled."""
        return jax.jit(self.network.apply, static_argnames="method")

    @cached_property
    def _loss(self) -> Any:
        # A student's loss at other times than those of its plan says nothing about its images.
        loss = None if self.config.distilled else FAMILIES[self.config.family].loss
        return loss and jax.jit(partial(loss(self.config, self.network), train=False))

    def test_loss(self, params: Params) -> dict[str, float]:
        """Mean loss ('loss') and its terms on fixed test images and noise: comparable between checkpoints.

        Empty without test images, or if no single loss measures the model.
        """
        if self.test is None or not self._loss:
            return {}
        images, labels = self.test
        scaled = to_unit(images)
        parts = [slice(start, start + BATCH) for start in range(0, len(scaled), BATCH)]
        rows = []
        for i, part in enumerate(parts):
            value, terms = self._loss(params, scaled[part], labels[part], key=root_key(i))
            rows.append({"loss": value, **terms})
        weights = [len(scaled[part]) for part in parts]
        return {name: float(np.average([float(row[name]) for row in rows], weights=weights)) for name in rows[0]}

    def encode(self, params: Params, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The encoder's mean and log-variance of uint8 images [N, H, W, C] of classes [N]: both [N, latent]."""
        parts = [slice(start, start + BATCH) for start in range(0, len(images), BATCH)]
        outputs = [self.apply(params, to_unit(images[part]), labels[part], method="encode") for part in parts]
        mean, log_variance = (np.concatenate(part) for part in zip(*outputs, strict=True))
        return mean, log_variance

    def labels(self, count: int) -> np.ndarray | None:
        """The classes of the first `count` samples, in turn: [count] int; None if the model is unconditional.

        Classes that the training data leaves out are skipped.
        """
        shown = [label for label in range(self.config.class_count) if label not in self.config.data.without]
        return np.resize(shown, count) if shown else None

    def sample(self, params: Params, count: int = 0, *, first: int = 0) -> np.ndarray:
        """`count` (0: `sample_count`) images of seed 0 from the index `first` on, sampled as configured: uint8
        [N, H, W, C]."""
        count = count or self.config.training.sample_count
        labels = self.labels(first + count)
        images = sampling.sample(
            self.config, self.network.apply, params,
            jnp.zeros(count, jnp.uint32), jnp.arange(first, first + count, dtype=jnp.uint32),
            jnp.full(count, -1) if labels is None else jnp.asarray(labels[first:]),
        )  # fmt: skip
        return to_uint8(np.asarray(images))

    def watch(self, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
        """The diagnostics of the family; metrics: means of the newest steps, with the last "step".

        Early steps give no warnings, and each kind of problem is reported once.
        """
        report = FAMILIES[self.config.family].watch(self, params, metrics)
        finite = {name: value for name, value in report.scalars.items() if math.isfinite(value)}
        settled = max(SHORTEST, min(SETTLED, self.total // 2))
        warnings = report.warnings if metrics.get("step", settled) >= settled else {}
        if lost := [f"{name} {value}" for name, value in report.scalars.items() if name not in finite]:
            warnings = {**warnings, "not finite": f"{', '.join(lost)}: not finite, so left out of the metrics"}
        fresh = {kind: line for kind, line in warnings.items() if kind not in self._warned}
        self._warned.update(fresh)
        return replace(report, scalars=finite, warnings=fresh)


def classifier_probe(
    config: Config, classifier: Path | None, *, optional: bool = False, identity: Identity | None = None
) -> ClassifierProbe | None:
    """A trained classifier, to classify the samples of a run; None if no run is named.

    optional: if the classifier cannot be loaded, warn on stderr and return None. identity: of the run's data, by which
    a classifier of the same data is known wherever they lay when it was trained.
    Raises UsageError if the run is no classifier of this data, or if the family uses none.
    """
    if classifier is None:
        return None
    try:
        return _judge(config, classifier, identity)
    except JaxgenError as err:
        if not optional:
            raise UsageError(f"--classifier: {err}") from err
        if jax.process_index() == 0:
            print(f"warning: going on without the classifier: {err}", file=sys.stderr)
        return None


def _judge(config: Config, classifier: Path, identity: Identity | None) -> ClassifierProbe:
    if not FAMILIES[config.family].judged:
        raise UsageError(f"it watches the classes of a GAN's samples; {config.name} is of family {config.family!r}")
    trained = load_trained(classifier)
    other = trained.config
    known = identity is not None and identity == Identity.from_dict(RunFolder(classifier).data_record())
    same = (known or other.data.dataset == config.data.dataset) and other.data.shape == config.data.shape
    if other.is_generator or not same:
        expected = f"a classifier of {config.data.dataset} at {config.data.shape}"
        raise UsageError(f"{classifier} is not {expected}; train one: jaxgen train --model classifier")
    apply = jax.jit(networks.build(other).apply)

    def judge(images: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, float | None]:
        predicted = np.asarray(apply(trained.params, to_unit(images))).argmax(-1)
        shares = np.bincount(predicted, minlength=other.class_count) / len(predicted)
        return shares, None if labels is None else float((predicted == labels).mean())

    return judge
