"""The report of an evaluation: every metric with an interval, beside what real images of the same number score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import numpy as np

from jaxgen import palettes
from jaxgen.errors import UsageError
from jaxgen.evaluation.features import Features
from jaxgen.evaluation.metrics import METRICS, Evidence, Metric, frechet_distance, lacking, memorised

GROUPS = 10  # that are left out in turn to estimate an interval
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the images, whose scores are extrapolated to infinitely many
PART = 2048  # images read by an extractor between two reports of progress

Tell = Callable[[str, int, int], None]  # what is being done, how much of it is done, of how much


def quiet(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


class Reads(Protocol):
    """An extractor: see `jaxgen.evaluation.features.Extractor`."""

    @property
    def sha256(self) -> str: ...

    def __call__(self, images: np.ndarray) -> Features: ...


@dataclass(frozen=True)
class Score:
    """value: of all generated images; margin: half the width of its 95 % interval; floor: of real test images."""

    value: float
    margin: float
    floor: float | None

    @classmethod
    def of_mean(cls, values: np.ndarray) -> Self:
        """The mean of independent values [N], which has no floor."""
        deviation = float(values.std(ddof=1)) if len(values) > 1 else math.nan
        return cls(float(values.mean()), 1.96 * deviation / math.sqrt(len(values)), None)


@dataclass(frozen=True, kw_only=True)
class Report:
    """scores: by the name of the metric; n: generated images; real: real ones; floor_n: real test images.

    fid_infinity: the FID of infinitely many images, NaN if there are too few. It is no entry of METRICS, whose scores
    have a floor and an interval: the floor is the share of a score that comes of too few images, which this one leaves
    out, and an interval would take sixty more Frechet distances. left_out: why a score is not there, by its name.
    """

    scores: dict[str, Score]
    fid_infinity: float
    n: int
    real: int
    floor_n: int
    extractor: str
    left_out: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)  # how more was measured, as JSON

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON, which has no NaN: a number that takes more images than there were is None."""
        scores = {
            name: {"value": _finite(score.value), "margin_95": _finite(score.margin), "floor": _finite(score.floor)}
            for name, score in self.scores.items()
        }
        return {
            "n": self.n, "real": self.real, "floor_n": self.floor_n, "extractor": self.extractor,
            "fid_infinity": _finite(self.fid_infinity), "scores": scores, "left_out": self.left_out, **self.facts,
        }  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def evaluate(
    generated: np.ndarray,
    train: np.ndarray,
    test: tuple[np.ndarray, np.ndarray] | None,
    extractor: Reads,
    *,
    labels: np.ndarray | None = None,
    seed: int = 0,
    metrics: Mapping[str, Metric] = METRICS,
    tell: Tell = quiet,
) -> Report:
    """Compare generated images with as many real ones.

    generated, train: uint8 [N, H, W, C]; test: images and labels for the floor, None if the dataset has no test split;
    labels: the class that each generated image was conditioned on, [N] int. At most N real images of each split are
    compared, a sample by `seed`; memorised images are looked for in all of `train`. Raises UsageError if there are too
    few images for a metric.
    """
    require_different(generated)
    reference = Reference.of(train, test, extractor, count=len(generated), seed=seed, tell=tell)
    return reference.report(generated, labels, metrics=metrics, tell=tell)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The real images that generated ones are compared with, several times if need be."""

    extractor: Reads
    everything: np.ndarray  # features of the training split, [N, D]
    real: np.ndarray  # those that are compared, [n, D]
    test: Evidence | None  # of as many test images, in place of generated ones
    colours: np.ndarray | None  # of the training split, if they are few
    _floors: dict[str, float | str | None] = field(default_factory=dict, init=False)  # a text: why there is none

    @classmethod
    def of(
        cls, train: np.ndarray, test: tuple[np.ndarray, np.ndarray] | None, extractor: Reads, *, count: int, seed: int,
        tell: Tell = quiet,
    ) -> Self:  # fmt: skip
        """For `count` generated images; the rest as in `evaluate`."""
        everything = _features(extractor, train, "features of training images", tell).features
        real = everything[sampled(len(train), count, seed)]
        floor, colours = None, palettes.of_images(train)
        if test is not None:
            rows = sampled(len(test[0]), count, seed)
            images = test[0][rows]
            found = _features(extractor, images, "features of test images", tell)
            floor = _evidence(real, everything, found, test[1][rows], _on_palette(images, colours))
        return cls(extractor=extractor, everything=everything, real=real, test=floor, colours=colours)

    def report(
        self, generated: np.ndarray, labels: np.ndarray | None = None, *, metrics: Mapping[str, Metric] = METRICS,
        tell: Tell = quiet,
    ) -> Report:  # fmt: skip
        """The scores of generated images, uint8 [N, H, W, C]; see `evaluate`."""
        require_different(generated)
        found = _features(self.extractor, generated, "features of generated images", tell)
        on_palette = _on_palette(generated, self.colours)
        evidence = _evidence(self.real, self.everything, found, labels, on_palette)
        scores, left_out = {}, {}
        for number, (name, metric) in enumerate(metrics.items()):
            tell(f"scores: {name}", number, len(metrics))
            value = metric(evidence)
            if value is None:
                left_out[name] = lacking(name, evidence)
                continue
            floor = self._floor(name, metric)
            if isinstance(floor, str):
                left_out[f"floor of {name}"] = floor
            scores[name] = Score(value, _margin(metric, evidence), None if isinstance(floor, str) else floor)
        return Report(
            scores=scores, fid_infinity=_extrapolated(evidence) if "fid" in metrics else math.nan, n=len(generated),
            real=len(self.real), floor_n=0 if self.test is None else len(self.test.generated),
            extractor=self.extractor.sha256, left_out=left_out,
        )  # fmt: skip

    def _floor(self, name: str, metric: Metric) -> float | str | None:
        """What the test images score, computed once; a text if they are too few for it, None without test images."""
        if self.test is None:
            return None
        if name not in self._floors:
            try:
                self._floors[name] = metric(self.test)
            except UsageError as err:
                self._floors[name] = f"test images: {err}"
        return self._floors[name]


def _evidence(
    real: np.ndarray, everything: np.ndarray, found: Features, labels: np.ndarray | None, on_palette: np.ndarray | None
) -> Evidence:
    copies = memorised(found.features, everything)
    return Evidence(real, found.features, found.logits, labels, copies, on_palette)


def _on_palette(images: np.ndarray, colours: np.ndarray | None) -> np.ndarray | None:
    return None if colours is None else palettes.snapped(images, colours)[1]


def require_different(images: np.ndarray) -> None:
    """Raise UsageError if all images are the same one."""
    if len(images) and (images == images[:1]).all():
        raise UsageError(f"all {len(images)} images are equal; there is nothing to compare")


def _features(extractor: Reads, images: np.ndarray, stage: str, tell: Tell) -> Features:
    parts = []
    for start in range(0, max(len(images), 1), PART):
        tell(stage, start, len(images))
        parts.append(extractor(images[start : start + PART]))
    tell(stage, len(images), len(images))
    logits = [part.logits for part in parts if part.logits is not None]
    return Features(np.concatenate([part.features for part in parts]), np.concatenate(logits) if logits else None)


def sampled(total: int, count: int, seed: int) -> np.ndarray:
    """`count` of `total` rows, or all if there are fewer, without replacement and in order: [n] int."""
    return np.sort(np.random.default_rng(seed).choice(total, min(count, total), replace=False))


def _margin(metric: Metric, evidence: Evidence) -> float:
    """Half of a 95 % interval over generated images, by the jackknife over groups (Efron & Stein 1981); NaN if so few
    are left without a group that they have no score."""
    group = np.random.default_rng(0).permutation(len(evidence.generated)) % GROUPS
    try:
        values = np.array([metric(_some(evidence, group != left_out)) for left_out in range(GROUPS)], float)
    except UsageError:
        return math.nan
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
    if len(set(counts)) < 2:
        return float("nan")
    _, at_zero = np.polyfit(1 / np.array(counts), values, 1)
    return float(at_zero)
