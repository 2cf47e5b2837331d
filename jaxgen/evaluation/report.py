"""The report of an evaluation: every metric with an interval, beside what real images of the same number score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgen import palettes
from jaxgen.errors import UsageError
from jaxgen.evaluation.features import Extractor, Features
from jaxgen.evaluation.metrics import METRICS, Evidence, Metric, frechet_distance, memorised

GROUPS = 10  # that are left out in turn to estimate an interval
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the images, whose scores are extrapolated to infinitely many

Say = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """value: of all generated images; margin: half the width of its 95 % interval; floor: of real test images."""

    value: float
    margin: float
    floor: float | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """scores: by the name of the metric; n: generated images; real: real ones; floor_n: real test images.

    fid_infinity: the FID of infinitely many images, NaN if there are too few. It is no entry of METRICS, whose scores
    have a floor and an interval: the floor is the share of a score that comes of too few images, which this one leaves
    out, and an interval would take sixty more Frechet distances.
    """

    scores: dict[str, Score]
    fid_infinity: float
    n: int
    real: int
    floor_n: int
    extractor: str

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON, which has no NaN: a number that takes more images than there were is None."""
        scores = {
            name: {"value": _finite(score.value), "margin_95": _finite(score.margin), "floor": _finite(score.floor)}
            for name, score in self.scores.items()
        }
        return {
            "n": self.n, "real": self.real, "floor_n": self.floor_n, "extractor": self.extractor,
            "fid_infinity": _finite(self.fid_infinity), "scores": scores,
        }  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def evaluate(
    generated: np.ndarray,
    train: np.ndarray,
    test: tuple[np.ndarray, np.ndarray] | None,
    extractor: Extractor,
    *,
    labels: np.ndarray | None = None,
    seed: int = 0,
    metrics: Mapping[str, Metric] = METRICS,
    say: Say = lambda line: None,
) -> Report:
    """Compare generated images with as many real ones.

    generated, train: uint8 [N, H, W, C]; test: images and labels for the floor, None if the dataset has no test split;
    labels: the class that each generated image was conditioned on, [N] int. At most N real images of each split are
    compared, a sample by `seed`; memorised images are looked for in all of `train`. Raises UsageError if there are too
    few images for a metric.
    """
    count = len(generated)
    if count and (generated == generated[:1]).all():
        raise UsageError(f"all {count} images are equal; there is nothing to compare")
    say("features of generated images")
    ours = extractor(generated)
    say("features of real images")
    everything = extractor(train).features
    real = everything[sampled(len(train), count, seed)]

    colours = palettes.of_images(train)

    def evidence_of(images: np.ndarray, features: Features, labels: np.ndarray | None) -> Evidence:
        on_palette = None if colours is None else palettes.snapped(images, colours)[1]
        copies = memorised(features.features, everything)
        return Evidence(real, features.features, features.logits, labels, copies, on_palette)

    evidence, floor = evidence_of(generated, ours, labels), None
    if test is not None:
        rows = sampled(len(test[0]), count, seed)
        images = test[0][rows]
        floor = evidence_of(images, extractor(images), None if labels is None else test[1][rows])
    scores = {}
    for name, metric in metrics.items():
        say(name)
        value = metric(evidence)
        if value is not None:
            scores[name] = Score(value, _margin(metric, evidence), None if floor is None else metric(floor))
    floor_n = 0 if floor is None else len(floor.generated)
    return Report(
        scores=scores, fid_infinity=_extrapolated(evidence), n=count, real=len(real), floor_n=floor_n,
        extractor=extractor.sha256,
    )  # fmt: skip


def sampled(total: int, count: int, seed: int) -> np.ndarray:
    """`count` of `total` rows, or all if there are fewer, without replacement and in order: [n] int."""
    return np.sort(np.random.default_rng(seed).choice(total, min(count, total), replace=False))


def _margin(metric: Metric, evidence: Evidence) -> float:
    """Half of a 95 % interval over generated images, by the jackknife over groups (Efron & Stein 1981)."""
    group = np.random.default_rng(0).permutation(len(evidence.generated)) % GROUPS
    values = np.array([metric(_some(evidence, group != left_out)) for left_out in range(GROUPS)], float)
    return float(1.96 * np.sqrt((GROUPS - 1) * values.var()))


def _some(evidence: Evidence, rows: np.ndarray) -> Evidence:
    """The evidence of some of the generated images; rows: a mask or indices."""
    parts = {name: getattr(evidence, name) for name in ("logits", "labels", "memorised", "on_palette")}
    chosen: dict[str, Any] = {name: None if part is None else part[rows] for name, part in parts.items()}
    return replace(evidence, generated=evidence.generated[rows], **chosen)


def _extrapolated(evidence: Evidence) -> float:
    """The Frechet distance of infinitely many images: a line through those of fewer ones, over 1 / n, at 0.

    Both sets are cut. Source: Chong & Forsyth 2020, section 3.
    """
    order = np.random.default_rng(0).permutation(len(evidence.generated))
    of_real = np.random.default_rng(1).permutation(len(evidence.real))
    counts, values = [], []
    for share in SHARES:
        count = round(share * min(len(order), len(of_real)))
        if count <= evidence.real.shape[1]:
            continue
        fewer = _some(replace(evidence, real=evidence.real[of_real[:count]]), order[:count])
        counts.append(count)
        values.append(frechet_distance(fewer))
    if len(counts) < 2:
        return float("nan")
    _, at_zero = np.polyfit(1 / np.array(counts), values, 1)
    return float(at_zero)
