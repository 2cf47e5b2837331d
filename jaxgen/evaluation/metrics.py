"""Metrics of generated images, each a function of the features of real and generated ones; and of scores and pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from jaxgen.errors import JaxgenError, UsageError

Array = np.ndarray
NEIGHBOURS = 5  # of the radius within which an image counts as like another (Naeem et al. 2020)
PART = 1024  # rows of a distance or kernel matrix that are held at a time, unless they have more
NUMBERS = 2**23  # than these numbers together


@dataclass(frozen=True)
class Evidence:
    """What a metric may look at. A metric that needs more than there is answers None."""

    real: Array  # features of real images, [N, D] float64
    generated: Array  # of generated ones, [M, D] float64
    logits: Array | None = None  # of a classifier for the generated images, [M, K]
    labels: Array | None = None  # the class that each was conditioned on, [M] int
    memorised: Array | None = None  # whether each is a copy of a training image, [M] bool; see `memorised`
    on_palette: Array | None = None  # the share of each one's pixels in colours of the real data, if these are few, [M]


Metric = Callable[[Evidence], float | None]


def frechet_distance(evidence: Evidence) -> float:
    """Squared distance between two Gaussians with the means and covariances of the features; 0 is best.

    Raises UsageError for fewer images than a covariance of full rank needs. Source: Heusel et al. 2017, equation 6.
    """
    require_covariance(min(len(evidence.real), len(evidence.generated)), evidence.real.shape[1])
    if not (np.isfinite(evidence.real).all() and np.isfinite(evidence.generated).all()):
        raise JaxgenError("the Frechet distance needs finite features; the extractor's weights are damaged")
    means = [features.mean(0) for features in (evidence.real, evidence.generated)]
    one, two = (np.cov(features, rowvar=False) for features in (evidence.real, evidence.generated))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    # The trace of the root of one @ two, whose eigenvalues are those of a symmetric matrix.
    shared = np.sqrt(np.linalg.eigvalsh(root @ two @ root).clip(0)).sum()
    return float(np.square(means[0] - means[1]).sum() + np.trace(one) + np.trace(two) - 2 * shared)


def require_covariance(count: int, width: int) -> None:
    """Raise UsageError if a covariance of `width` features has no full rank by `count` images."""
    if count <= width:
        raise UsageError(f"the Frechet distance of {width} features needs at least {width + 1} images, got {count}")


def kernel_distance(evidence: Evidence) -> float:
    """Squared maximum mean discrepancy by a cubic kernel, without bias: 0 on average for images of one kind.

    Source: Binkowski et al. 2018, section 4.
    """
    real, generated = evidence.real, evidence.generated
    within = [
        (_kernel_sum(each, each) - _kernel_diagonal(each)) / (len(each) * (len(each) - 1)) for each in (real, generated)
    ]
    return float(sum(within) - 2 * _kernel_sum(real, generated) / (len(real) * len(generated)))


def _kernel_sum(one: Array, two: Array) -> float:
    return sum(float((((part @ two.T) / one.shape[1] + 1) ** 3).sum()) for part in _parts(one, two))


def _kernel_diagonal(features: Array) -> float:
    return float(((np.square(features).sum(1) / features.shape[1] + 1) ** 3).sum())


def inception_score(evidence: Evidence) -> float | None:
    """exp of the mean KL divergence of a class's probability given the image from its share: from 1 to the number of
    classes, which is best. Source: Salimans et al. 2016, section 4."""
    if evidence.logits is None:
        return None
    shifted = evidence.logits - evidence.logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    p = np.exp(log_p)
    share = np.log(p.mean(0).clip(np.finfo(float).tiny))
    return float(np.exp((p * (log_p - share)).sum(1).mean()))


def label_accuracy(evidence: Evidence) -> float | None:
    """The share of images that a classifier takes for the class that they were conditioned on."""
    if evidence.logits is None or evidence.labels is None:
        return None
    return float((evidence.logits.argmax(1) == evidence.labels).mean())


def precision(evidence: Evidence) -> float:
    """The share of generated images that lie within the radius of some real one (Kynkaanniemi et al. 2019)."""
    return float((_inside(evidence.real, evidence.generated) > 0).mean())


def recall(evidence: Evidence) -> float:
    """The share of real images that lie within the radius of some generated one (Kynkaanniemi et al. 2019)."""
    return float((_inside(evidence.generated, evidence.real) > 0).mean())


def density(evidence: Evidence) -> float:
    """How many real images' radii a generated one lies within, over the number of neighbours: about 1 for images of
    one kind (Naeem et al. 2020)."""
    return float(_inside(evidence.real, evidence.generated).mean() / NEIGHBOURS)


def coverage(evidence: Evidence) -> float:
    """The share of real images within whose radius a generated one lies (Naeem et al. 2020)."""
    nearest = np.concatenate([part.min(1) for part in _distances(evidence.real, evidence.generated)])
    return float((nearest < _radii(evidence.real, NEIGHBOURS)).mean())


def memorisation(evidence: Evidence) -> float | None:
    """The share of generated images that are `memorised`: of images that were not trained on, about a half."""
    return None if evidence.memorised is None else float(evidence.memorised.mean())


def memorised(generated: Array, train: Array) -> Array:
    """Which generated images are nearer to a training image than that one's nearest other training image is.

    Features [M, D] and [N, D], of all training images -> [M] bool. Source: Alaa et al. 2022, section 4.2.
    """
    nearest = [(part.argmin(1), part.min(1)) for part in _distances(generated, train)]
    who, far = (np.concatenate(column) for column in zip(*nearest, strict=True))
    originals, which = np.unique(who, return_inverse=True)
    return far < _radii(train, 1, originals)[which]


def palette(evidence: Evidence) -> float | None:
    """The share of pixels that have one of the few colours of the real data, or nearly; see `jaxgen.palettes`."""
    return None if evidence.on_palette is None else float(evidence.on_palette.mean())


def realism(generated: Array, real: Array) -> Array:
    """How far each generated image lies within the real ones: the largest ratio of a real image's radius to its
    distance, of those half whose radius is the smaller, so that no lone real image vouches for its surroundings.

    Features [M, D] and [N, D] -> [M], above 1 within some radius, inf for a copy. Source: Kynkaanniemi et al. 2019,
    equation 3.
    """
    radii = _radii(real, NEIGHBOURS)
    kept = radii <= np.median(radii)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [radii[kept] / part for part in _distances(generated, real[kept])]
        return np.concatenate([np.nan_to_num(part, nan=np.inf, posinf=np.inf).max(1) for part in ratios])


def _parts(one: Array, two: Array) -> Iterator[Array]:
    """The rows of `one`, few enough at a time for a matrix of them and of all rows of `two`."""
    size = max(1, min(PART, NUMBERS // max(1, len(two))))
    for start in range(0, len(one), size):
        yield one[start : start + size]


def _distances(one: Array, two: Array) -> Iterator[Array]:
    """Euclidean distances, some rows at a time: [N, D], [M, D] -> [n, M] each."""
    squares = np.square(two).sum(1)
    for part in _parts(one, two):
        yield np.sqrt((np.square(part).sum(1)[:, None] - 2 * part @ two.T + squares).clip(0))


def _radii(features: Array, neighbours: int, rows: Array | slice = slice(None)) -> Array:
    """How far each one's k-th nearest other is: [N, D] -> [N], or of some rows alone. Raises UsageError where there are
    not as many."""
    if len(features) <= neighbours:
        raise UsageError(f"the {neighbours} nearest neighbours of an image need more images than {len(features)}")
    # Itself is the nearest of all, at 0 or what rounding made of it.
    parts = _distances(features[rows], features)
    return np.concatenate([np.partition(part, neighbours, 1)[:, neighbours] for part in parts])


def _inside(centres: Array, points: Array) -> Array:
    """Within how many centres' radii each point lies: [N, D], [M, D] -> [M] int."""
    radii = _radii(centres, NEIGHBOURS)
    return np.concatenate([(part < radii).sum(1) for part in _distances(points, centres)])


METRICS: dict[str, Metric] = {
    "fid": frechet_distance,
    "kid": kernel_distance,
    "inception_score": inception_score,
    "label_accuracy": label_accuracy,
    "precision": precision,
    "recall": recall,
    "density": density,
    "coverage": coverage,
    "memorisation": memorisation,
    "palette": palette,
}
# What each of these asks for besides features, and why it may not be there.
NEEDS = {
    "inception_score": ("logits",),
    "label_accuracy": ("logits", "labels"),
    "memorisation": ("memorised",),
    "palette": ("on_palette",),
}
MISSING = {
    "logits": "the extractor is an encoder, which tells no classes",
    "labels": "the images are of no known classes",
    "memorised": "no training images were looked at",
    "on_palette": "the real images have too many colours",
}


def lacking(name: str, evidence: Evidence) -> str:
    """Why a metric has no score, in words."""
    reasons = [MISSING[part] for part in NEEDS.get(name, ()) if getattr(evidence, part) is None]
    return reasons[0] if reasons else "this metric gave no score"


def auroc(scores: Array, outlier: Array) -> float:
    """The chance that an outlier scores above another image, ties counting half.

    scores: [N]; outlier: bool [N]. Raises UsageError if one of the groups is empty.
    Source: Mann & Whitney 1947, from the ranks.
    """
    _, tied, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[tied]  # of equal scores, the mean; from 1
    n = int(outlier.sum())
    rest = len(scores) - n
    if not (n and rest):
        raise UsageError(f"AUROC tells outliers from other images: it needs both, got {n} and {rest}")
    return float((ranks[outlier].sum() - n * (n + 1) / 2) / (n * rest))


def spread(images: np.ndarray, labels: np.ndarray | None = None) -> float | None:
    """Mean distance per pixel between images that follow each other, each with the next of its class if classes are
    given: uint8 [N, H, W, C], [N]; None where no two can be compared."""
    classes = np.zeros(len(images), int) if labels is None else labels
    order = np.argsort(classes, kind="stable")
    same = classes[order[1:]] == classes[order[:-1]]
    unit = images[order].astype(np.float32)
    return float(np.abs(unit[1:] - unit[:-1])[same].mean()) if same.any() else None
