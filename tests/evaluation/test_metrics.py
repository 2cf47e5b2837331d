"""Metrics, against scipy, scikit-learn, prdc, torchmetrics and values by hand."""

from dataclasses import replace

import numpy as np
import pytest
import scipy
import scipy.spatial
import torch
from prdc import compute_prdc
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.metrics.pairwise import polynomial_kernel

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.evaluation import metrics
from jaxgen.evaluation.metrics import METRICS, Evidence, auroc, spread


@pytest.fixture(scope="module")
def evidence():
    """Features whose groups overlap, correlated among themselves."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((6, 6))
    real = rng.standard_normal((400, 6)) @ mix
    generated = rng.standard_normal((300, 6)) @ (0.8 * mix) + 0.3
    return Evidence(real, generated, logits=rng.standard_normal((300, 4)) * 3, labels=rng.integers(0, 4, 300))


def test_frechet_distance_is_that_of_scipys_matrix_root(evidence):
    (m1, c1), (m2, c2) = ((x.mean(0), np.cov(x.T)) for x in (evidence.real, evidence.generated))
    want = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * scipy.linalg.sqrtm(c1 @ c2).real)
    assert metrics.frechet_distance(evidence) == pytest.approx(want)


def test_frechet_distance_of_shifted_and_scaled_features_by_hand():
    real = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])  # covariance 2/3 of the identity
    assert metrics.frechet_distance(Evidence(real, real + np.array([3, 4]))) == pytest.approx(25)
    # The trace of (s - 1)^2 * 2/3 of the identity, for features times s.
    assert metrics.frechet_distance(Evidence(real, 3 * real)) == pytest.approx(2 * 4 * 2 / 3)
    flat = np.zeros((4, 2))
    assert metrics.frechet_distance(Evidence(real, flat)) == pytest.approx(4 / 3)  # the trace of what is left


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["real", "generated"])
def test_frechet_distance_of_features_that_are_not_finite_is_one_line(evidence, side, value):
    broken = getattr(evidence, side).copy()
    broken[3, 2] = value
    with pytest.raises(JaxgenError, match="the Frechet distance needs finite features"):
        metrics.frechet_distance(replace(evidence, **{side: broken}))


def test_kernel_distance_is_made_of_scikit_learns_kernel(evidence, monkeypatch):
    def mean_of_pairs(x):
        kernel = polynomial_kernel(x, degree=3, gamma=1 / x.shape[1], coef0=1)
        return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))

    between = polynomial_kernel(evidence.real, evidence.generated, degree=3, gamma=1 / 6, coef0=1).mean()
    want = mean_of_pairs(evidence.real) + mean_of_pairs(evidence.generated) - 2 * between
    assert metrics.kernel_distance(evidence) == pytest.approx(want)
    monkeypatch.setattr(metrics, "PART", 7)
    assert metrics.kernel_distance(evidence) == pytest.approx(want)


def test_inception_score_is_that_of_scipys_entropy(evidence):
    p = scipy.special.softmax(evidence.logits, axis=1)
    want = np.exp(np.mean([scipy.stats.entropy(row, p.mean(0)) for row in p]))
    assert metrics.inception_score(evidence) == pytest.approx(want)
    sure = replace(evidence, logits=1000 * np.eye(4)[np.arange(300) % 4])
    assert metrics.inception_score(sure) == pytest.approx(4)
    assert metrics.inception_score(replace(evidence, logits=np.zeros((300, 4)))) == pytest.approx(1)


class Given(torch.nn.Module):
    """What torchmetrics takes for a network whose features are what it is given."""

    num_features = 6

    def forward(self, features):
        return features


@pytest.mark.filterwarnings("ignore")
def test_scores_are_those_of_torchmetrics(evidence):
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    real, generated, logits = map(torch.from_numpy, (evidence.real, evidence.generated, evidence.logits))
    distance = FrechetInceptionDistance(feature=Given()).set_dtype(torch.float64)
    kernel = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=300)  # all of both
    for metric, count in ((distance, 400), (kernel, 300)):
        metric.update(real[:count], real=True)
        metric.update(generated, real=False)
    assert metrics.frechet_distance(evidence) == pytest.approx(float(distance.compute()), rel=1e-9)
    as_many = replace(evidence, real=evidence.real[:300])
    assert metrics.kernel_distance(as_many) == pytest.approx(float(kernel.compute()[0]), rel=1e-9)
    score = InceptionScore(feature=Given(), splits=1)
    score.update(logits)
    assert metrics.inception_score(evidence) == pytest.approx(float(score.compute()[0]), rel=1e-9)


@pytest.mark.parametrize("part", [7, 1024])
def test_realism_is_the_largest_ratio_of_a_radius_to_a_distance(evidence, monkeypatch, part):
    monkeypatch.setattr(metrics, "PART", part)
    among = np.sort(scipy.spatial.distance.cdist(evidence.real, evidence.real), axis=1)
    radii = among[:, metrics.NEIGHBOURS]  # itself is the first
    kept = radii <= np.median(radii)
    far = scipy.spatial.distance.cdist(evidence.generated, evidence.real[kept])
    np.testing.assert_allclose(metrics.realism(evidence.generated, evidence.real), (radii[kept] / far).max(1))


def test_realism_of_a_copy_is_infinite_and_of_a_far_one_small():
    real = np.arange(12.0)[:, None] ** 1.1
    copy, far = metrics.realism(np.array([[real[5, 0]], [1000.0]]), real)
    assert copy == np.inf and far < 0.05


def test_what_a_metric_lacks_is_said_in_words(evidence):
    bare = Evidence(evidence.real, evidence.generated, logits=evidence.logits)
    assert metrics.lacking("label_accuracy", bare) == "the images are of no known classes"
    assert "encoder" in metrics.lacking("label_accuracy", replace(bare, logits=None))
    assert metrics.lacking("of mine", bare) == "this metric gave no score"


def test_label_accuracy_is_scikit_learns(evidence):
    assert metrics.label_accuracy(evidence) == accuracy_score(evidence.labels, evidence.logits.argmax(1))


@pytest.mark.parametrize("part", [7, 1024])
def test_neighbourhood_metrics_are_those_of_prdc(evidence, monkeypatch, part):
    monkeypatch.setattr(metrics, "PART", part)
    want = compute_prdc(evidence.real, evidence.generated, nearest_k=metrics.NEIGHBOURS)
    assert want["precision"] > 0.1 and want["recall"] < 0.99
    for name in ("precision", "recall", "density", "coverage"):
        assert METRICS[name](evidence) == pytest.approx(want[name])


def test_memorisation_is_the_share_that_is_nearer_than_the_next_training_image():
    train = np.array([[0.0], [1.0], [5.0]])
    generated = np.array([[0.1], [2.5], [4.0], [40.0]])  # 0.1 < 1; 1.5 > 1; 1 < 4; 35 > 4
    copies = metrics.memorised(generated, train)
    assert copies.tolist() == [True, False, True, False]
    assert metrics.memorisation(Evidence(train[:1], generated, memorised=copies)) == 0.5


@pytest.mark.parametrize(("part", "numbers"), [(7, 2**23), (1024, 1000), (1024, 1)])
def test_memorised_images_are_the_same_however_few_distances_are_held_at_a_time(evidence, monkeypatch, part, numbers):
    far = scipy.spatial.distance.cdist(evidence.generated, evidence.real)
    among = scipy.spatial.distance.cdist(evidence.real, evidence.real) + np.diag([np.inf] * len(evidence.real))
    want = far.min(1) < among.min(1)[far.argmin(1)]
    assert 0.05 < want.mean() < 0.95
    monkeypatch.setattr(metrics, "PART", part)
    monkeypatch.setattr(metrics, "NUMBERS", numbers)
    np.testing.assert_array_equal(metrics.memorised(evidence.generated, evidence.real), want)


def test_metric_that_needs_more_than_there_is_answers_nothing(evidence):
    bare = Evidence(evidence.real, evidence.generated)
    lacking = {name for name, metric in METRICS.items() if metric(bare) is None}
    assert lacking == {"inception_score", "label_accuracy", "memorisation", "palette"}


@pytest.mark.parametrize(
    ("metric", "count", "words"),
    [
        ("fid", 6, "^the Frechet distance of 6 features needs at least 7 images, got 6$"),
        ("precision", 5, "^the 5 nearest neighbours of an image need more images than 5$"),
        ("recall", 5, "need more images than 5"),
        ("coverage", 5, "need more images than 5"),
    ],
)
def test_too_few_images_are_refused_in_a_line(evidence, metric, count, words):
    with pytest.raises(UsageError, match=words):
        METRICS[metric](Evidence(evidence.real[:count], evidence.generated[:count]))


def test_copies_of_one_training_image_alone_are_refused_in_a_line(evidence):
    with pytest.raises(UsageError, match="the 1 nearest neighbours"):
        metrics.memorised(evidence.generated, evidence.real[:1])


@pytest.mark.parametrize("levels", [3, 10_000])
def test_auroc_is_scikit_learns_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    outlier = rng.uniform(size=500) < 0.3
    scores = rng.integers(0, levels, 500) + outlier * levels * 0.3 // 1
    assert auroc(scores, outlier) == pytest.approx(roc_auc_score(outlier, scores))


def test_auroc_by_hand():
    assert auroc(np.array([1.0, 2.0, 3.0]), np.array([False, False, True])) == 1
    assert auroc(np.array([1.0, 2.0, 2.0]), np.array([False, False, True])) == 0.75


@pytest.mark.parametrize(("outliers", "got"), [(0, "0 and 3"), (3, "3 and 0")])
def test_auroc_of_one_group_alone_is_refused(outliers, got):
    with pytest.raises(UsageError, match=f"needs both, got {got}"):
        auroc(np.ones(3), np.arange(3) < outliers)


def test_spread_is_the_mean_distance_of_neighbours_of_a_class():
    images = np.array([0, 10, 30, 60], np.uint8).reshape(4, 1, 1, 1)
    assert spread(images) == (10 + 20 + 30) / 3
    assert spread(images, np.array([0, 1, 0, 1])) == (30 + 50) / 2
    assert spread(images, np.arange(4)) is None
