"""Diagnostics of a run in progress: images, scalars and warnings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from jaxgen.config import Config
from jaxgen.data.batches import Batch
from jaxgen.images import grid
from jaxgen.models.network import Params


@dataclass(frozen=True)
class DiagnosticReport:
    """images: uint8 [H, W, C] by name, 'samples' first; warnings, by kind of problem: what is wrong, and
    which setting of a resumed run to change."""

    images: dict[str, np.ndarray] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)


# uint8 images, and the requested class of each (or None) -> the share of each class among them, and the share that
# match the requested classes (or None)
ClassifierProbe = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, float | None]]


class Subject(Protocol):
    """The interface of a model in training to its diagnostics; `jaxgen.training.monitor.Monitor` implements it."""

    @property
    def config(self) -> Config: ...

    @property
    def test(self) -> Batch | None: ...

    @property
    def judge(self) -> ClassifierProbe | None: ...

    @property
    def apply(self) -> Any: ...

    def encode(self, params: Params, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def labels(self, count: int) -> np.ndarray | None: ...

    def sample(self, params: Params, count: int = 0) -> np.ndarray: ...


# (subject, weights, the mean metrics of the newest steps, with the last "step")
Watch = Callable[[Subject, Params, Mapping[str, float]], DiagnosticReport]


def watch_nothing(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """An empty report, for a model that generates no images."""
    return DiagnosticReport()


def watch_samples(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """A grid of the first images of seed 0."""
    return DiagnosticReport(images={"samples": samples_sheet(subject, subject.sample(params))})


def samples_sheet(subject: Subject, samples: np.ndarray) -> np.ndarray:
    """Samples uint8 [N, H, W, C] as a sheet, with a column for each class if there are enough of them."""
    labels = subject.labels(len(samples))
    classes = 0 if labels is None else len(np.unique(labels))
    return grid(samples, columns=classes if 1 < classes < len(samples) else None)
