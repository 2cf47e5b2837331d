"""What latents know of the classes, and latents in the plane: [N, D] each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxgen.errors import UsageError, extra
from jaxgen.images import BACKGROUND

Array = np.ndarray
SHRINKAGE = 0.01  # of a covariance, by default
SINGULAR = 1e-12  # share of the largest variance below which a direction has none


@dataclass(frozen=True)
class LinearProbe:
    """One score a class, linear in the latents; the highest wins."""

    labels: Array  # [K]
    weights: Array  # [D, K]
    bias: Array  # [K]

    @classmethod
    def fit(cls, latents: Array, labels: Array, shrinkage: float = SHRINKAGE) -> LinearProbe:
        """Linear discriminant analysis: each class a normal around its mean, all of one covariance.

        Not least squares on targets of 1 and -1: where dimensions are few, that never chooses a class which lies
        between others (Hastie, Tibshirani & Friedman 2009, section 4.2). shrinkage: the share, from 0 to 1, of the
        covariance that is replaced by its mean variance; directions without variance have no say.
        Raises UsageError on fewer than 2 classes.
        """
        known, of = np.unique(labels, return_inverse=True)
        if len(known) < 2:
            raise UsageError(f"a probe tells classes apart: it needs images of 2 or more, got {len(known)}")
        x = latents.astype(np.float64)
        means = np.stack([x[of == k].mean(0) for k in range(len(known))])  # [K, D]
        within = x - means[of]
        covariance = within.T @ within / len(x)
        level = np.trace(covariance) / len(covariance)
        covariance = (1 - shrinkage) * covariance + shrinkage * level * np.eye(len(covariance))
        weights = np.linalg.pinv(covariance, rcond=SINGULAR, hermitian=True) @ means.T
        return cls(known, weights, np.log(np.bincount(of) / len(of)) - 0.5 * (means.T * weights).sum(0))

    def predict(self, latents: Array) -> Array:
        """[N] labels."""
        return self.labels[(latents.astype(np.float64) @ self.weights + self.bias).argmax(1)]


@dataclass(frozen=True)
class Clusters:
    of: Array  # int [N]: the cluster of each
    distance: Array  # float [N]: to its centre


def k_means(latents: Array, count: int, seed: int) -> Clusters:
    """scikit-learn's k-means, the best of ten starts. Raises UsageError for more clusters than latents."""
    with extra("train"):
        from sklearn.cluster import KMeans
    if count > len(latents):
        raise UsageError(f"{count} clusters need as many images, got {len(latents)}")
    found = KMeans(count, n_init=10, random_state=seed).fit(latents)
    return Clusters(found.labels_, np.linalg.norm(latents - found.cluster_centers_[found.labels_], axis=1))


def majorities(clusters: Array, labels: Array, count: int) -> list[tuple[int, int, int]]:
    """Of each cluster: how many it has, the commonest label among them, and how many have that; (0, -1, 0) of an empty
    one, which k-means leaves where fewer latents differ than there are clusters."""
    rows = []
    for cluster in range(count):
        values, counts = np.unique(labels[clusters == cluster], return_counts=True)
        if not len(values):
            rows.append((0, -1, 0))
            continue
        best = int(counts.argmax())
        rows.append((int(counts.sum()), int(values[best]), int(counts[best])))
    return rows


def pca(latents: Array) -> tuple[Array, Array]:
    """The two directions in which latents differ most: coordinates [N, 2], and the share of the variance of each [2].

    Raises UsageError on fewer than 3 latents or 2 dimensions.
    """
    if len(latents) < 3 or latents.shape[1] < 2:
        raise UsageError(f"a plane needs 3 or more latents of 2 or more dimensions, got {list(latents.shape)}")
    x = latents.astype(np.float64)
    x -= x.mean(0)
    _, sizes, directions = np.linalg.svd(x, full_matrices=False)
    axes = directions[:2]
    axes = axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(1)])[:, None]  # else the sign is LAPACK's whim
    total = float((sizes**2).sum()) or 1.0
    return x @ axes.T, sizes[:2] ** 2 / total


def t_sne(latents: Array, seed: int) -> Array:
    """scikit-learn's t-SNE: [N, 2]. Raises UsageError on fewer than 4 latents."""
    with extra("train"):
        from sklearn.manifold import TSNE
    if len(latents) < 4:
        raise UsageError(f"t-SNE needs 4 or more images, got {len(latents)}")
    perplexity = min(30.0, (len(latents) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(latents.astype(np.float32))


def typical(images: Array, clusters: Clusters, count: int, columns: int = 12) -> Array:
    """A cluster a row, nearest to its centre first: uint8 [count, columns, H, W, C], grey where there are no more."""
    sheet = np.full((count, columns, *images.shape[1:]), BACKGROUND, np.uint8)
    for cluster in range(count):
        members = np.flatnonzero(clusters.of == cluster)
        members = members[np.argsort(clusters.distance[members], kind="stable")][:columns]
        sheet[cluster, : len(members)] = images[members]
    return sheet
