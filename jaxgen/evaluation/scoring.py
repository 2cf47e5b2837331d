"""One evaluation from a model to its report: sampling it, comparing its images, and the likelihood of a VAE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.evaluation.features import Extractor
from jaxgen.evaluation.generators import Generator, Settings, labels
from jaxgen.evaluation.likelihood import Autoencoder, bounds
from jaxgen.evaluation.metrics import METRICS, Metric
from jaxgen.evaluation.report import Reference, Report, Score, Tell, quiet, sampled

LIKELIHOODS = ("elbo", "nll")  # in nats an image: the evidence lower bound, and the importance-weighted -log p(x)
NAMES = (*METRICS, *LIKELIHOODS)
TEST_IMAGES = 1000  # at most, whose likelihood is measured
SAMPLES = 64  # importance samples of each


class Real(NamedTuple):
    """A split of the real images: uint8 [N, H, W, C], int [N], the names of the classes."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


def has_likelihood(names: str | None) -> bool:
    """Whether a list of names asks for a likelihood, as None does, which asks for everything."""
    return names is None or any(name.strip() in LIKELIHOODS for name in names.split(","))


def chosen(names: str | None) -> dict[str, Metric]:
    """The metrics of a list 'fid,kid', all for None; likelihoods are no metrics. Raises UsageError for other names."""
    wanted = list(METRICS) if names is None else [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise UsageError(f"unknown metric {unknown[0]!r}; choose from {', '.join(NAMES)}")
    return {name: METRICS[name] for name in wanted if name in METRICS}


def require_possible(names: str | None, model: Generator, extractor: Extractor, test: Real | None) -> None:
    """Raise UsageError, before anything is sampled, if one of the named scores cannot be had."""
    wanted = [] if names is None else [name.strip() for name in names.split(",")]
    if "label_accuracy" in wanted and (why := extractor.why_no_labels(model.classes)):
        raise UsageError(f"label_accuracy of {model.name}: {why}")
    if "inception_score" in wanted and not extractor.classes:
        raise UsageError(f"inception_score: {extractor.predictor.artifact.path} is an encoder, which tells no classes")
    if asked := [name for name in LIKELIHOODS if name in wanted]:
        try:
            _autoencoder(model, test)
        except JaxgenError as err:
            raise UsageError(f"{asked[0]} of {model.name}: {err}") from err


def generated(
    model: Generator, count: int, *, seed: int, settings: Settings, batch_size: int, tell: Tell = quiet
) -> np.ndarray:
    """The first `count` images of a seed: uint8 [N, H, W, C]."""
    stage = f"{count} images of {model.name}" + (f", --steps {settings.steps}" if settings.steps else "")
    parts: list[np.ndarray] = []
    if getattr(model, "compiles", False):
        tell(f"compiling, for {stage}", 0, 0)  # until the first images are there
    else:
        tell(stage, 0, count)
    for part in model.batches(count, seed=seed, settings=settings, batch_size=batch_size):
        parts.append(part)
        tell(stage, sum(map(len, parts)), count)
    return np.concatenate(parts)


def scored(
    model: Generator, images: np.ndarray, reference: Reference, extractor: Extractor, metrics: Mapping[str, Metric],
    tell: Tell = quiet,
) -> Report:  # fmt: skip
    """The report of a model's images, with label accuracy where the extractor knows the model's classes."""
    why = extractor.why_no_labels(model.classes)
    report = reference.report(images, None if why else labels(model, len(images)), metrics=metrics, tell=tell)
    if why and "label_accuracy" in report.left_out:
        return replace(report, left_out={**report.left_out, "label_accuracy": why})
    return report


def with_likelihood(
    report: Report, model: Generator, test: Real | None, *, samples: int = SAMPLES, seed: int = 0, tell: Tell = quiet
) -> Report:
    """The report with the ELBO and the negative log-likelihood of test images, or with why there are none."""
    try:
        autoencoder, real = _autoencoder(model, test)
    except JaxgenError as err:
        return replace(report, left_out=report.left_out | dict.fromkeys(LIKELIHOODS, str(err)))
    count, stage = len(real.images), f"likelihood of {len(real.images)} test images"
    tell(stage, 0, count)
    found = bounds(
        autoencoder, real.images, real.labels if model.classes else None, samples=samples, seed=seed,
        tell=lambda done: tell(stage, done, count),
    )  # fmt: skip
    facts: dict[str, Any] = {
        "images": count,
        "samples": samples,
        "likelihood": autoencoder.likelihood,
        "binarized": autoencoder.binarized,
    }
    values = {"elbo": found.elbo, "nll": -found.log_likelihood}
    scores = report.scores | {name: Score.of_mean(value) for name, value in values.items()}
    return replace(report, scores=scores, facts=report.facts | {"likelihood": facts})


def _autoencoder(model: Generator, test: Real | None) -> tuple[Autoencoder, Real]:
    """What the likelihood is measured by, and of which test images. Raises JaxgenError, with the reason, if it cannot
    be."""
    autoencoder = model.autoencoder()
    if test is None:
        raise UsageError("the dataset has no test images")
    if model.classes and (test.classes != model.classes or (test.labels < 0).any()):
        raise UsageError("the model is told the class of an image, and the dataset's classes are not the model's")
    rows = sampled(len(test.images), TEST_IMAGES, 0)
    return autoencoder, Real(test.images[rows], test.labels[rows], test.classes)
