"""Probes, purity and planes, against scikit-learn and counts done by hand."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.latent.checks import different
from jaxgen.latent.probes import Clusters, LinearProbe, k_means, majorities, pca, t_sne, typical


@pytest.fixture(scope="module")
def blobs():
    """Three overlapping groups in five dimensions, labelled 2, 5 and 7."""
    rng = np.random.default_rng(0)
    labels = rng.choice([2, 5, 7], 300)
    centres = {label: 1.2 * rng.standard_normal(5) for label in (2, 5, 7)}
    latents = np.stack([centres[label] for label in labels]) + rng.standard_normal((300, 5))
    return latents.astype(np.float32), labels


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_probe_is_scikit_learns_discriminant_analysis(blobs, shrinkage):
    latents, labels = blobs
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    oracle.fit(latents[:200].astype(float), labels[:200])
    probe = LinearProbe.fit(latents[:200], labels[:200], shrinkage)
    scores = oracle.decision_function(latents[200:].astype(float))
    np.testing.assert_allclose(latents[200:] @ probe.weights + probe.bias, scores, atol=1e-6)
    np.testing.assert_array_equal(probe.predict(latents[200:]), oracle.predict(latents[200:]))
    assert set(probe.predict(latents)) == {2, 5, 7}


def test_probe_finds_classes_that_lie_between_others():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 2000)
    latents = 4 * np.stack(np.divmod(labels, 5), axis=1) + rng.standard_normal((2000, 2))
    found = LinearProbe.fit(latents[:1000], labels[:1000]).predict(latents[1000:])
    right = found == labels[1000:]
    oracle = LogisticRegression(max_iter=1000).fit(latents[:1000], labels[:1000]).score(latents[1000:], labels[1000:])
    assert right.mean() == pytest.approx(oracle, abs=0.01)
    assert min(right[labels[1000:] == label].mean() for label in range(10)) > 0.8


def test_dimensions_that_say_nothing_have_no_say(blobs):
    latents, labels = blobs
    more = np.concatenate([latents, np.full((300, 2), 0.1, np.float32), latents[:, :1]], axis=1)
    oracle = LinearDiscriminantAnalysis(solver="svd").fit(more.astype(float), labels)
    np.testing.assert_array_equal(LinearProbe.fit(more, labels, 0.0).predict(more), oracle.predict(more.astype(float)))
    collapsed = LinearProbe.fit(np.ones((5, 2), np.float32), np.array([3, 4, 4, 3, 4]))
    assert collapsed.predict(np.zeros((1, 2))).tolist() == [4]  # the commonest


def test_probe_of_one_class_is_refused():
    with pytest.raises(UsageError, match="2 or more classes, got 1"):
        LinearProbe.fit(np.zeros((4, 2)), np.zeros(4, int))


def test_majorities_by_hand():
    clusters, labels = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([3, 3, 4, 4, 4, 4, 3])
    assert majorities(clusters, labels, 2) == [(3, 3, 2), (4, 4, 3)]


def test_majority_of_an_empty_cluster_is_none():
    assert majorities(np.array([0, 2]), np.array([3, 4]), 3) == [(1, 3, 1), (0, -1, 0), (1, 4, 1)]


def test_k_means_finds_groups_that_are_far_apart():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 20)
    latents = 100 * np.eye(3)[labels] + rng.standard_normal((60, 3))
    found = k_means(latents, 3, seed=0)
    assert sorted(majorities(found.of, labels, 3)) == [(20, 0, 20), (20, 1, 20), (20, 2, 20)]
    centre = latents[labels == labels[0]].mean(0)
    assert found.distance[0] == pytest.approx(np.linalg.norm(latents[0] - centre))
    with pytest.raises(UsageError, match="need as many images"):
        k_means(latents[:2], 3, seed=0)


def test_typical_images_come_first_and_gaps_are_grey():
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    sheet = typical(images, Clusters(np.array([0, 0, 1, 0]), np.array([2.0, 0.5, 9.0, 1.0])), 2, columns=4)
    assert sheet[..., 0, 0, 0].tolist() == [[1, 3, 0, 128], [2, 128, 128, 128]]


def test_pca_is_scikit_learns_but_for_signs(blobs):
    oracle = PCA(2).fit(blobs[0].astype(float))
    points, shares = pca(blobs[0])
    want = oracle.transform(blobs[0].astype(float))
    np.testing.assert_allclose(np.abs(points), np.abs(want), atol=1e-5)
    np.testing.assert_allclose(shares, oracle.explained_variance_ratio_, rtol=1e-6)


def test_t_sne_keeps_two_groups_apart_and_repeats_itself():
    latents = np.random.default_rng(0).standard_normal((30, 4)) + 50 * (np.arange(30) % 2)[:, None]
    points = t_sne(latents, seed=1)
    a, b = points[::2], points[1::2]
    assert np.linalg.norm(a.mean(0) - b.mean(0)) > max(a.std(), b.std())
    np.testing.assert_array_equal(points, t_sne(latents, seed=1))
    with pytest.raises(UsageError, match="4 or more images, got 3"):
        t_sne(latents[:3], seed=0)


NORMALS = np.random.default_rng(0).standard_normal((40, 3))
METHODS = {
    "t-SNE": lambda latents: t_sne(latents, seed=0),
    "PCA": pca,
    "k-means": lambda latents: k_means(latents, 3, seed=0),
    "a probe": lambda latents: LinearProbe.fit(latents, np.arange(len(latents)) % 2),
}
# On each of these, scikit-learn's t-SNE ended the process by a segmentation fault.
EQUAL = {"constant": np.ones((40, 3)), "tiny": 1e-30 * NORMALS, "beyond the resolution": 1e8 + 1e-3 * NORMALS}


@pytest.mark.parametrize("method", ["t-SNE", "PCA", "k-means"])
@pytest.mark.parametrize("case", EQUAL)
def test_latents_that_are_equal_are_one_line_before_native_code(method, case):
    with pytest.raises(UsageError, match=f"{method}.* or more different latents: all 40 are equal"):
        METHODS[method](EQUAL[case].astype(np.float32))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_latents_that_are_not_finite_are_one_line_before_native_code(method, value):
    latents = NORMALS.astype(np.float32)
    latents[[1, 5], 2] = value
    with pytest.raises(JaxgenError, match=r"^2 of 40 latents are not finite") as refused:
        METHODS[method](latents)
    assert refused.value.exit_code == 3


@pytest.mark.parametrize(
    ("latents", "words"),
    [
        (NORMALS[:, :1], "t-SNE needs latents of 2 or more dimensions, got 1"),
        (np.repeat(NORMALS[:3], 10, axis=0), "t-SNE needs 4 or more different latents: got 3"),
        (1e20 * NORMALS, r"t-SNE needs latents up to 1e\+15, got 2.* have diverged"),
    ],
)
def test_other_latents_that_t_sne_cannot_take_are_one_line(latents, words):
    with pytest.raises(JaxgenError, match=words):
        t_sne(latents.astype(np.float32), seed=0)


def test_more_clusters_than_different_latents_are_one_line():
    with pytest.raises(UsageError, match="k-means with 3 clusters needs 3 or more different latents: got 2"):
        k_means(np.repeat(NORMALS[:2], 5, axis=0).astype(np.float32), 3, seed=0)


def test_different_latents_are_counted_by_hand():
    assert different(np.array([[1, 2], [1, 2], [1, 3], [4, 2]], np.float32)) == 3
    assert different(np.zeros((0, 2), np.float32)) == 0
    assert different(1e-6 * NORMALS.astype(np.float32)) == 40  # few nats, but not equal
