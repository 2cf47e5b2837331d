"""Linear probes, clusters and 2-D projections of latents [N, D]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxgen.errors import UsageError, extra
from jaxgen.images import BACKGROUND
from jaxgen.latent.checks import require_different, require_finite

Array = np.ndarray
SHRINKAGE = 0.01  # of a covariance, by default
SINGULAR = 1e-12  # share of the largest variance below which a direction counts as constant


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier of latents, with one score per class."""

    labels: Array  # [K]
    weights: Array  # [D, K]
    bias: Array  # [K]

    @classmethod
    def fit(cls, latents: Array, labels: Array, shrinkage: float = SHRINKAGE) -> LinearProbe:
        """Linear discriminant analysis: each class is normal around its mean, with a common covariance.

        Least squares on targets of 1 and -1 would in few dimensions never choose a class between others (Hastie,
        Tibshirani & Friedman 2009, section 4.2). shrinkage: the share, from 0 to 1, of the covariance that is replaced
        by its mean variance; directions without variance are ignored. Raises UsageError on fewer than 2 classes,
        JaxgenError on latents that are not finite.
        """
        require_finite(latents)
        known, class_index = np.unique(labels, return_inverse=True)
        if len(known) < 2:
            raise UsageError(f"a probe needs images of 2 or more classes, got {len(known)}")
        x = latents.astype(np.float64)
        means = np.stack([x[class_index == k].mean(0) for k in range(len(known))])  # [K, D]
        within = x - means[class_index]
        covariance = within.T @ within / len(x)
        level = np.trace(covariance) / len(covariance)
        covariance = (1 - shrinkage) * covariance + shrinkage * level * np.eye(len(covariance))
        weights = np.linalg.pinv(covariance, rcond=SINGULAR, hermitian=True) @ means.T
        prior = np.bincount(class_index) / len(class_index)
        return cls(known, weights, np.log(prior) - 0.5 * (means.T * weights).sum(0))

    def predict(self, latents: Array) -> Array:
        """[N] labels."""
        return self.labels[(latents.astype(np.float64) @ self.weights + self.bias).argmax(1)]


@dataclass(frozen=True)
class Clusters:
    of: Array  # int [N]: the cluster of each
    distance: Array  # float [N]: to its centre


def k_means(latents: Array, count: int, seed: int) -> Clusters:
    """scikit-learn's k-means, the best of ten starts.

    Raises UsageError for more clusters than different latents, JaxgenError for latents that are not finite.
    """
    with extra("train"):
        from sklearn.cluster import KMeans
    if count > len(latents):
        raise UsageError(f"{count} clusters need as many images, got {len(latents)}")
    require_different(latents, f"k-means with {count} clusters", count)
    fitted = KMeans(count, n_init=10, random_state=seed).fit(latents)
    return Clusters(fitted.labels_, np.linalg.norm(latents - fitted.cluster_centers_[fitted.labels_], axis=1))


def majorities(clusters: Array, labels: Array, count: int) -> list[tuple[int, int, int]]:
    """For each cluster: its size, its commonest label and the count of that label; (0, -1, 0) for an empty cluster,
    which k-means leaves if there are fewer distinct latents than clusters."""
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
    """The first two principal components: coordinates [N, 2], and their shares of the variance [2].

    Raises UsageError on fewer than 3 latents or 2 dimensions, or if all are equal; JaxgenError if they are not finite.
    """
    if len(latents) < 3 or latents.shape[1] < 2:
        raise UsageError(f"PCA needs 3 or more latents of 2 or more dimensions, got {list(latents.shape)}")
    require_different(latents, "PCA", 2)
    x = latents.astype(np.float64)
    x -= x.mean(0)
    _, sizes, directions = np.linalg.svd(x, full_matrices=False)
    axes = directions[:2]
    axes = axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(1)])[:, None]  # LAPACK's sign is arbitrary
    total = float((sizes**2).sum()) or 1.0
    return x @ axes.T, sizes[:2] ** 2 / total


def t_sne(latents: Array, seed: int) -> Array:
    """scikit-learn's t-SNE: [N, 2].

    Raises UsageError on fewer than 4 different latents or 2 dimensions, JaxgenError if they are not finite. On equal
    ones scikit-learn 1.9 ends the process by a segmentation fault, because it scales the start by their deviation.
    """
    with extra("train"):
        from sklearn.manifold import TSNE
    if len(latents) < 4:
        raise UsageError(f"t-SNE needs 4 or more images, got {len(latents)}")
    if latents.shape[1] < 2:
        raise UsageError("t-SNE needs latents of 2 or more dimensions, got 1; try plain or pca of another model")
    require_different(latents, "t-SNE", 4)
    perplexity = min(30.0, (len(latents) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(latents.astype(np.float32))


def typical(images: Array, clusters: Clusters, count: int, columns: int = 12) -> Array:
    """One cluster per row, nearest to its centre first: uint8 [count, columns, H, W, C], padded with grey."""
    sheet = np.full((count, columns, *images.shape[1:]), BACKGROUND, np.uint8)
    for cluster in range(count):
        members = np.flatnonzero(clusters.of == cluster)
        members = members[np.argsort(clusters.distance[members], kind="stable")][:columns]
        sheet[cluster, : len(members)] = images[members]
    return sheet
