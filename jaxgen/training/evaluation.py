"""Evaluation during training: scores of samples of the averaged weights, beside those of the test images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jaxgen import data
from jaxgen.config import Config
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.evaluation.extractors import located
from jaxgen.evaluation.features import Extractor
from jaxgen.evaluation.metrics import METRICS, NEIGHBOURS, Evidence
from jaxgen.evaluation.report import sampled
from jaxgen.models.network import Params
from jaxgen.runs.evaluation import Evaluation
from jaxgen.runs.status import duration
from jaxgen.training.data_loading import load_split
from jaxgen.training.monitor import Monitor
from jaxgen.training.run_logger import RunLogger
from jaxgen.training.signals import StopSignal

SCORES = ("fid", "kid", "precision", "recall", "label_accuracy")  # of METRICS; the last of conditional models alone
AT_A_TIME = 64  # images that are sampled at once, unless the sample grid has more

Scores = dict[str, float]


@dataclass(frozen=True)
class Evaluator:
    """Compares samples with the training images. The numbers are those of `jaxgen eval` for seed 0, as far as JAX and
    the exported file sample the same images.

    real: features of as many training images as are generated, [n, D]; floor: the scores of `floor_n` test images,
    empty if there are too few; labelled: whether the extractor tells the classes of the model.
    """

    settings: Evaluation
    extractor: Extractor
    real: np.ndarray
    labelled: bool
    floor: Scores
    floor_n: int

    def due(self, before: int, step: int, total: int) -> bool:
        """Whether a call that led from a step to `step` reached one that is evaluated.

        Calls are not cut for an evaluation, so that the training is the same with and without.
        """
        return step // self.settings.every > before // self.settings.every or step == total

    def run(
        self, monitor: Monitor, weights: Callable[[], Params], step: int, logger: RunLogger, stop: StopSignal
    ) -> float | None:
        """Sample with the weights, log the scores and say them; returns the FID, None if a signal came meanwhile."""
        started = time.perf_counter()
        scores = stop.side_work(lambda: self._measured(monitor, weights(), stop))
        if scores is None:
            return None
        floor = {f"eval_{name}_floor": value for name, value in self.floor.items() if name in scores}
        logger.scalars(step, {f"eval_{name}": value for name, value in scores.items()} | floor)
        logger.say(f"evaluation at step {step}: {self._line(scores)}  {duration(time.perf_counter() - started)}")
        return scores.get("fid")

    def _measured(self, monitor: Monitor, params: Params, stop: StopSignal) -> Scores | None:
        count = self.settings.count
        size = max(AT_A_TIME, monitor.config.training.sample_count)  # of the grid, which is compiled already
        parts = []
        for first in range(0, count, size):
            if stop.signal is not None:  # what nobody waits for any more would only slow the saving down
                return None
            parts.append(monitor.sample(params, size, first=first))
        labels = monitor.labels(count) if self.labelled else None
        return _scores(self.real, self.extractor, np.concatenate(parts)[:count], labels)

    def headline(self) -> str:
        """What the scores depend on."""
        floor = f"{self.floor_n} test images" if self.floor else "none, for lack of test images"
        return (
            f"evaluating every {self.settings.every} steps: {self.settings.count} samples against {len(self.real)} "
            f"training images; floor: {floor}; extractor {self.extractor.sha256[:12]}"
        )

    def _line(self, scores: Scores) -> str:
        floors = {name: f" (floor {value:.4g})" for name, value in self.floor.items()}
        return "  ".join(f"{name} {value:.4g}{floors.get(name, '')}" for name, value in scores.items())


def load_evaluator(config: Config, settings: Evaluation | None, data_dir: Path | None) -> Evaluator | None:
    """The evaluator of a run; None if it is not evaluated.

    Raises UsageError if there is no extractor, if it reads other images than the model generates or is not the one that
    the run was scored with, or if there are too few images for its features.
    """
    if settings is None or not settings.every:
        return None
    if not config.is_generator:
        raise UsageError(f"--eval-every: {config.name} is of family {config.family!r}, which generates no images")
    extractor = _extractor(config, settings)
    train = load_split(config, "train", data_dir)
    real = extractor(train.images[sampled(len(train), settings.count, 0)]).features
    need = max(real.shape[1], NEIGHBOURS) + 1
    if (few := min(settings.count, len(real))) < need:
        raise UsageError(f"--eval-count: scores by {need - 1} features need at least {need} images, got {few}")
    labelled = config.class_count > 0 and not extractor.why_no_labels(train.classes)
    floor, floor_n = Scores(), 0
    if "test" in data.info(config.data.source, data_dir=data_dir).splits:
        test = load_split(config, "test", data_dir)
        rows = sampled(len(test.images), settings.count, 0)
        if len(rows) >= need:
            floor_n = len(rows)
            floor = _scores(real, extractor, test.images[rows], test.labels[rows] if labelled else None)
    settings = replace(settings, sha256=extractor.sha256)
    return Evaluator(settings, extractor, real, labelled, floor, floor_n)


def _scores(real: np.ndarray, extractor: Extractor, images: np.ndarray, labels: np.ndarray | None) -> Scores:
    found = extractor(images)
    evidence = Evidence(real, found.features, found.logits, labels)
    values = {name: METRICS[name](evidence) for name in SCORES}
    return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}


def _extractor(config: Config, settings: Evaluation) -> Extractor:
    path = settings.extractor or located(config.data.dataset, config.data.shape)
    try:
        extractor = Extractor.open(path)
    except JaxgenError as err:
        raise UsageError(f"--extractor: {err}") from err
    if extractor.shape != config.data.shape:
        reads, makes = list(extractor.shape), list(config.data.shape)
        raise UsageError(f"--extractor: {path} reads images of {reads}, and {config.name} generates {makes}")
    if settings.sha256 not in ("", extractor.sha256):
        raise UsageError(
            f"--extractor: {path} has the hash {extractor.sha256[:12]}, and the run was scored with that of "
            f"{settings.sha256[:12]}; scores by another extractor are not comparable, so give that one"
        )
    return extractor
