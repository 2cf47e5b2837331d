"""`jaxgen eval` on real digits, noise and collapsed samples, whose order of merit is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jaxgen import data
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.evaluation.features import Extractor, Features
from jaxgen.evaluation.metrics import METRICS
from jaxgen.evaluation.report import Reference, evaluate


@pytest.fixture(scope="module")
def extractor(classifier):
    return Extractor.open(classifier, threads=1)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits"), data.load("digits", "test")


def test_features_are_the_last_hidden_layer_of_the_classifier(classifier, extractor, digits):
    from jaxgen.models.network import build
    from jaxgen.training.restore import load_trained
    from jaxgen_export.torch_models import build as torch_build
    from jaxgen_export.weight_mapping import load_into

    images = digits[1].images[:5]
    features, logits = extractor(images)
    trained = load_trained(classifier.parent / "run")
    x = images / np.float32(127.5) - np.float32(1)
    want = build(trained.config).apply(trained.params, x, method="features")
    np.testing.assert_allclose(features, want, atol=1e-5)
    module = torch_build(trained.config)
    load_into(module, trained.params)
    np.testing.assert_allclose(logits, module(torch.from_numpy(x)).numpy(), atol=1e-4)
    assert features.dtype == logits.dtype == np.float64 and features.shape == (5, 24)


def test_real_digits_score_better_than_collapsed_ones_and_these_better_than_noise(extractor, digits):
    train, test = digits
    rng = np.random.default_rng(0)
    # Other images than those of `trained`; one digit alone; pixels without meaning.
    trained, others = train.images[:600], train.images[800:1400]
    ones = np.resize(train.images[train.labels == 1], others.shape)
    ones = np.clip(ones + rng.integers(0, 3, ones.shape), 0, 255).astype(np.uint8)
    noise = rng.integers(0, 256, others.shape, np.uint8)
    real, collapsed, random = (
        evaluate(images, trained, (test.images, test.labels), extractor) for images in (others, ones, noise)
    )
    value = {name: [report.scores[name].value for report in (real, collapsed, random)] for name in real.scores}
    assert value["fid"] == sorted(value["fid"]) and value["kid"][0] < min(value["kid"][1:])
    assert value["inception_score"][0] > 7 and value["inception_score"][1] < 1.5
    assert value["recall"][0] > 0.8 and value["recall"][1] < 0.3 and value["coverage"][2] < 0.05
    assert value["memorisation"][1] > value["memorisation"][0]  # those ones were in the training set
    assert (real.n, real.real, real.floor_n) == (600, 600, 300)
    assert real.scores["fid"].floor == collapsed.scores["fid"].floor  # of the same real images
    assert real.scores["fid"].value - real.scores["fid"].margin > 0 and 0 < real.fid_infinity < real.scores["fid"].value


def test_label_accuracy_is_the_share_that_the_classifier_reads_as_labelled(extractor, digits):
    train, test = digits
    labels = test.labels.copy()
    labels[:30] = (labels[:30] + 1) % 10  # a tenth is labelled as what it is not
    report = evaluate(test.images, train.images, (test.images, test.labels), extractor, labels=labels)
    score = report.scores["label_accuracy"]
    assert score.floor > 0.9 and score.value == pytest.approx(score.floor - 0.1, abs=0.03)
    assert 0.01 < score.margin < 0.06  # of 300 coins that fall right 6 times in 7: 1.96 * 0.02
    unlabelled = evaluate(test.images, train.images, (test.images, test.labels), extractor)
    assert "label_accuracy" not in unlabelled.scores
    assert unlabelled.left_out == {"label_accuracy": "the images are of no known classes"}


def test_margin_is_that_of_a_mean(extractor, digits):
    """Where the metric is a mean, the jackknife is the standard error, which needs no jackknife."""
    train, test = digits
    report = evaluate(
        test.images,
        train.images,
        None,
        extractor,
        metrics={"mean": lambda evidence: float(evidence.generated[:, 3].mean())},
    )
    features = extractor(test.images).features[:, 3]
    group = np.random.default_rng(0).permutation(300) % 10
    groups = [features[group == i].mean() for i in range(10)]
    assert report.scores["mean"].margin == pytest.approx(1.96 * np.std(groups, ddof=1) / np.sqrt(10))
    assert report.scores["mean"].floor is None and report.floor_n == 0


class Pixels:
    """Pixels as features."""

    sha256 = "0" * 64

    def __call__(self, images):
        flat = images.reshape(len(images), -1).astype(float)
        return Features(flat, flat)


def test_real_images_are_a_sample_of_the_whole_split_in_whichever_order_it_lies():
    number = np.arange(1000)
    by_class = np.stack([number // 100, number % 100], 1).astype(np.uint8).reshape(1000, 1, 1, 2)  # ten classes
    labels = (number // 100).astype(int)
    compared = []

    def keep(evidence):
        compared.append(evidence)
        return 0.0

    def of(seed):
        compared.clear()
        report = evaluate(
            by_class[:200][::-1], by_class, (by_class, labels), Pixels(), labels=labels[:200], seed=seed,
            metrics={"keep": keep},
        )  # fmt: skip
        floor = next(
            evidence for evidence in compared if len(evidence.generated) == 200 and evidence is not compared[0]
        )
        assert report.real == report.floor_n == 200
        assert (floor.generated[:, 0] == floor.labels).all()  # each test image with its own label
        return compared[0].real, floor.generated

    for images in of(seed=1):
        assert len(np.unique(images, axis=0)) == 200  # without replacement
        assert (np.bincount(images[:, 0].astype(int), minlength=10) > 8).all()  # 20 of each class, give or take 3 sigma
    np.testing.assert_array_equal(of(seed=1)[0], of(seed=1)[0])
    assert not np.array_equal(of(seed=1)[0], of(seed=2)[0])


def test_memorised_images_are_looked_for_in_the_whole_training_split():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (2000, 1, 1, 8), np.uint8)
    generated = np.concatenate([train[1900:1930], rng.integers(0, 256, (10, 1, 1, 8), np.uint8)])  # 30 copies
    for seed in range(3):
        report = evaluate(generated, train, None, Pixels(), seed=seed, metrics={"m": METRICS["memorisation"]})
        assert report.real == 40 and 0.75 <= report.scores["m"].value <= 1


@pytest.mark.parametrize("levels", [17, 256])
def test_palette_is_scored_where_the_real_images_have_few_colours(levels):
    rng, greys = np.random.default_rng(0), np.linspace(0, 255, levels).round().astype(np.uint8)
    train, test = greys[rng.integers(0, levels, (2, 300, 4, 4, 1))]
    train[0, 0, 0], train[1:18, 0, 0, 0] = 255, np.resize(greys, 17)
    generated = test.copy()
    generated[:30, 0] = 8  # halfway between 0 and 16: a fortieth of all pixels, 8 from the nearest colour
    report = evaluate(
        generated, train, (test, np.zeros(300, int)), Pixels(), metrics={"palette": METRICS["palette"]}
    )  # fmt: skip
    if levels == 256:  # every grey: a palette that says nothing
        assert report.scores == {}
    else:
        score = report.scores["palette"]
        assert (score.value, score.floor) == (pytest.approx(39 / 40), 1) and 0 < score.margin < 0.03


def test_report_of_few_images_is_json_without_nan(digits):
    def refuse(constant):
        raise AssertionError(constant)

    few = evaluate(
        digits[0].images[:100], digits[1].images[:5], None, Pixels(), metrics={"nothing": lambda evidence: np.nan}
    )
    assert np.isnan(few.fid_infinity)
    values = json.loads(json.dumps(few.to_dict()), parse_constant=refuse)
    assert values["fid_infinity"] is None and values["n"] == 100
    assert values["scores"] == {"nothing": {"value": None, "margin_95": None, "floor": None}}


def test_what_cannot_be_scored_is_refused_in_a_line(extractor, digits, classifier):
    train, _ = digits
    with pytest.raises(UsageError, match=r"^the extractor reads images of \[8, 8, 1\], got \[16, 16, 3\]$"):
        evaluate(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8), train.images, None, extractor)
    with pytest.raises(UsageError, match=r"^all 100 images are equal"):
        evaluate(np.zeros((100, 8, 8, 1), np.uint8), train.images, None, extractor)
    with pytest.raises(UsageError, match="of 24 features needs at least 25 images, got 20"):
        evaluate(train.images[:20], train.images, None, extractor)


def test_extractor_that_is_none_is_refused(family, unconditional):
    with pytest.raises(JaxgenError, match="reads no images: it is a sampler"):
        Extractor.open(unconditional.onnx)
    old = Path(__file__).parents[1] / "golden/format1/classifier.onnx"
    with pytest.raises(UsageError, match="gives no features, as classifiers"):
        Extractor.open(old)


def test_encoder_is_an_extractor_of_the_posteriors_means(family):
    from jaxgen.models.network import build

    made = family("vae-convolutional")
    encoder = Extractor.open(made.encoder)
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    found = encoder(images)
    want, _ = build(made.config).apply(made.params, images / np.float32(127.5) - np.float32(1), method="encode")
    np.testing.assert_allclose(found.features, np.asarray(want), atol=1e-5)
    assert found.logits is None and encoder.classes == () and encoder.width == 4
    report = evaluate(images[:4], images, None, encoder, metrics={"is": METRICS["inception_score"]})
    assert report.scores == {} and "is" in report.left_out


def test_width_of_a_classifier_is_that_of_its_features(extractor):
    assert extractor.width == 24 and extractor.classes == tuple("0123456789")


def test_score_with_few_images_has_no_interval_and_with_few_test_images_no_floor(digits):
    images = digits[0].images[:, :2, :2]  # 4 features, of which FID needs 5 images
    test = (digits[1].images[:4, :2, :2], digits[1].labels[:4])
    report = evaluate(images[:5], images[100:], test, Pixels(), metrics={"fid": METRICS["fid"]})
    score = report.scores["fid"]
    assert score.value > 0 and np.isnan(score.margin) and score.floor is None
    assert report.left_out == {
        "floor of fid": "test images: the Frechet distance of 4 features needs at least 5 images, got 4"
    }
    assert report.to_dict()["scores"]["fid"]["margin_95"] is None


def test_reference_scores_several_sets_with_one_floor(digits):
    images, test = digits[0].images[:, :2, :2], (digits[1].images[:, :2, :2], digits[1].labels)
    measured = []

    def counted(evidence):
        measured.append(evidence)
        return float(evidence.generated.mean())

    reference = Reference.of(images, test, Pixels(), count=50, seed=3)
    reports = [reference.report(part, metrics={"m": counted}) for part in (images[:50], images[50:100])]
    alone = [
        evaluate(part, images, test, Pixels(), seed=3, metrics={"m": counted}) for part in (images[:50], images[50:100])
    ]
    assert [report.scores for report in reports] == [report.scores for report in alone]
    floors = [evidence for evidence in measured if evidence is reference.test]
    assert len(floors) == 1 and reports[0].scores["m"].value != reports[1].scores["m"].value


def test_stages_are_told_to_their_end(digits):
    told = []
    evaluate(
        digits[0].images[:50], digits[0].images, None, Pixels(), metrics={"m": lambda evidence: 1.0},
        tell=lambda *progress: told.append(progress),
    )  # fmt: skip
    assert ("features of training images", 1497, 1497) in told and ("features of generated images", 50, 50) in told
    assert all(0 <= done <= total for _, done, total in told)


def test_command_scores_an_array_and_a_model(jaxgen, classifier, unconditional, tmp_path, digits):
    train, _ = digits
    np.save(tmp_path / "real.npy", train.images)
    common = ("--dataset", "digits", "--extractor", classifier)
    done = jaxgen("eval", tmp_path / "real.npy", *common, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["n"] == 1497 and said["scores"]["fid"]["value"] == pytest.approx(0, abs=1e-6)  # the reference itself
    assert set(said["scores"]) == set(METRICS) - {"label_accuracy"}
    table = jaxgen("eval", tmp_path / "real.npy", *common).stdout.splitlines()
    assert table[1].startswith("fid ") and table[-1].startswith("1497 images against 1497 training images; floor: 300")
    options = ("-n", 60, "--steps", 2, "--json")
    first, again, other = (jaxgen("eval", unconditional.onnx, *common, *options, "--seed", seed) for seed in (0, 0, 1))
    assert first.stdout == again.stdout != other.stdout and json.loads(first.stdout)["n"] == 60
    assert json.loads(first.stdout)["scores"]["fid"]["value"] > said["scores"]["fid"]["floor"]  # it learned nothing
    refused = jaxgen("eval", tmp_path / "real.npy", *common, "--steps", "3")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
