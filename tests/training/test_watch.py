from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest

from jaxgen import config as configs
from jaxgen.config import GAN, Classifier, ClassifierConfig, DataConfig, GANConfig, TrainingConfig
from jaxgen.errors import UsageError
from jaxgen.training.judge import judge_of
from jaxgen.training.loop import train
from jaxgen.training.watch import imbalance, missing, sameness, spread, watch_gan

DIGITS = DataConfig(dataset="digits", size=8, channels=1)
PLAIN = GAN(data=DIGITS, model=GANConfig(latent=4, widths=(4,), doublings=1))
CONDITIONAL = replace(PLAIN, model=replace(PLAIN.model, classes=10))
FAIR = {"real": 0.7, "fake": 0.3, "step": 1000}
# Ten pictures that differ from each other, one a class
PATTERNS = np.random.default_rng(0).integers(0, 2, (10, 8, 8, 1)).astype(np.uint8) * 255


def noisy(classes: np.ndarray, seed: int = 0) -> np.ndarray:
    """The pictures of some classes, each with a fifth of its pixels turned."""
    flips = np.random.default_rng(seed).random((len(classes), 8, 8, 1)) < 0.2
    return np.where(flips, 255 - PATTERNS[classes], PATTERNS[classes]).astype(np.uint8)


def nearest(pictures: np.ndarray) -> np.ndarray:
    return np.abs(pictures[:, None].astype(float) - PATTERNS).sum((2, 3, 4)).argmin(1)


class Drawn:
    """A monitor of a generator that draws what it is told to."""

    test = (noisy(np.arange(200) % 10, seed=1), np.arange(200, dtype=np.int32) % 10)

    def __init__(self, config: GAN, draw, *, judged: bool = False) -> None:
        self.config, self._draw, self._judged = config, draw, judged

    def draw(self, params, count=0):
        return self._draw(np.arange(count or self.config.training.sample_count))

    @cached_property
    def judge(self):
        def judge(pictures):
            found = nearest(pictures)
            asked = np.arange(len(pictures)) % 10 if self.config.classes else None
            shares = np.bincount(found, minlength=10) / len(found)
            return shares, None if asked is None else float((found == asked).mean())

        return judge if self._judged else None


def good(index):
    return noisy(index % 10)


def shuffled(index):
    return noisy(np.random.default_rng(2).integers(0, 10, len(index)))


def grey(index):
    return np.full((len(index), 8, 8, 1), 127, np.uint8)


def one_picture(index):
    return np.repeat(PATTERNS[3:4], len(index), axis=0)


def one_a_class(index):
    return PATTERNS[index % 10]


def seven_classes(index):
    return noisy(index % 7)


@pytest.mark.parametrize("config", [PLAIN, CONDITIONAL])
@pytest.mark.parametrize("judged", [False, True])
def test_good_generator_warns_of_nothing(config, judged):
    seen = watch_gan(Drawn(config, good, judged=judged), {}, FAIR)
    assert seen.warnings == [] and 0.9 < seen.scalars["diversity"] < 1.1
    assert ("drawn_as_asked" in seen.scalars) == (judged and config.classes > 0)
    assert list(seen.pictures) == ["samples"]


@pytest.mark.parametrize("draw", [grey, one_picture])
@pytest.mark.parametrize("config", [PLAIN, CONDITIONAL])
def test_collapse_is_told_without_a_classifier(config, draw):
    (warning,) = watch_gan(Drawn(config, draw), {}, FAIR).warnings
    assert warning.startswith("mode collapse: samples differ from each other 0%")
    assert all(key in warning for key in ("training.lr", "gan.loss=hinge", "model.dropout"))


def test_one_picture_a_class_is_a_collapse_of_a_conditional_model_alone():
    assert watch_gan(Drawn(PLAIN, one_a_class), {}, FAIR).warnings == []
    (warning,) = watch_gan(Drawn(CONDITIONAL, one_a_class), {}, FAIR).warnings
    assert "samples differ from each other 0%" in warning


def test_classes_that_are_never_drawn_are_named():
    seen = watch_gan(Drawn(PLAIN, seven_classes, judged=True), {}, FAIR)
    (warning,) = seen.warnings
    assert "hardly any 7, 8, 9 among 500 samples" in warning
    assert abs(seen.scalars["class_share/2"] - 1 / 7) < 0.01 and seen.scalars["class_share/8"] < 0.01


def test_classes_that_the_data_leaves_out_are_not_missed():
    without = replace(PLAIN, data=replace(DIGITS, without=(7, 8, 9)))
    assert watch_gan(Drawn(without, seven_classes, judged=True), {}, FAIR).warnings == []


def test_generator_that_ignores_the_class_draws_one_in_ten_as_asked():
    seen = watch_gan(Drawn(CONDITIONAL, shuffled, judged=True), {}, FAIR)
    assert abs(seen.scalars["drawn_as_asked"] - 0.1) < 0.06  # four deviations of 500 draws


def test_untrained_generator_is_given_time():
    lost = {"real": 0.999, "fake": 0.001}
    early = watch_gan(Drawn(PLAIN, grey, judged=True), {}, {**lost, "step": 300})
    assert early.warnings == [] and early.scalars["diversity"] == 0
    assert len(watch_gan(Drawn(PLAIN, grey, judged=True), {}, {**lost, "step": 1000}).warnings) == 3


def test_classifier_looks_at_more_pictures_than_are_shown():
    few = replace(PLAIN, training=TrainingConfig(sample_count=4))
    seen = watch_gan(Drawn(few, good, judged=True), {}, FAIR)
    assert seen.warnings == [] and seen.pictures["samples"].shape == watch_gan(Drawn(few, good), {}, FAIR).pictures[
        "samples"
    ].shape  # fmt: skip


@pytest.mark.parametrize(
    ("real", "fake", "winner"),
    [
        (0.99, 0.01, "discriminator"), (0.3, 0.7, "generator"), (0.9, 0.1, None), (0.5, 0.5, None), (0.99, 0.2, None),
        (0.45, 0.5, None),
    ],
)  # fmt: skip
def test_imbalance_names_who_wins_and_what_to_change(real, fake, winner):
    warnings = imbalance({"real": real, "fake": fake})
    assert len(warnings) == (winner is not None)
    if winner:
        assert warnings[0].startswith(f"the {winner} wins (D(real) {real:.2f}, D(fake) {fake:.2f})")
        assert "gan.discriminator_lr" in warnings[0] and "model.dropout" in warnings[0]


def test_scores_that_are_no_beliefs_are_not_called_an_imbalance():
    settings = ["gan.loss=wgan-gp", "model.discriminator_norm=none"]
    scores = {"real": 40.0, "fake": -35.0, "step": 1000}
    assert watch_gan(Drawn(configs.override(PLAIN, settings), good), {}, scores).warnings == []
    hinge = configs.override(PLAIN, ["gan.loss=hinge"])
    assert len(watch_gan(Drawn(hinge, good), {}, {"real": 1.0, "fake": 0.0, "step": 1000}).warnings) == 1


def test_spread_is_the_mean_distance_of_neighbours_of_a_class():
    pictures = np.array([0, 10, 30, 60], np.uint8).reshape(4, 1, 1, 1)
    assert spread(pictures) == (10 + 20 + 30) / 3
    assert spread(pictures, np.array([0, 1, 0, 1])) == (30 + 50) / 2
    assert spread(pictures, np.arange(4)) is None


def test_sameness_and_missing_are_silent_above_their_thresholds():
    assert sameness(0.6) == [] and len(sameness(0.4)) == 1
    assert missing(np.full(10, 0.1), 500) == [] and missing(np.array([0.02] + [0.98 / 9] * 9), 500) == []
    assert len(missing(np.array([0.005] + [0.995 / 9] * 9), 500)) == 1


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier of the digits that has learned something."""
    config = Classifier(
        data=DIGITS,
        model=ClassifierConfig(widths=(16,), features=32, dropout=0.0),
        training=TrainingConfig(steps=150, batch_size=64, lr=3e-3, checkpoint_every=150, sample_every=150),
    )
    folder = tmp_path_factory.mktemp("classifier") / "run"
    train(config, folder)
    return folder


def naming(config: GAN, folder) -> GAN:
    return replace(config, gan=replace(config.gan, classifier=str(folder)))


def test_judge_reads_real_digits(classifier):
    from jaxgen import data

    digits = data.load("digits", "test")
    ordered = np.concatenate([np.flatnonzero(digits.labels == i)[:8] for i in range(10)]).reshape(10, 8).T.ravel()
    pictures = digits.images[ordered]  # 0, 1, ..., 9, 0, 1, ...
    shares, right = judge_of(naming(CONDITIONAL, classifier))(pictures)
    assert right > 0.8 and np.abs(shares - 0.1).max() < 0.06
    again, none = judge_of(naming(PLAIN, classifier))(pictures)
    assert none is None and np.array_equal(again, shares)


def test_judge_is_there_only_where_one_is_named(classifier):
    assert judge_of(PLAIN) is None and judge_of(Classifier(data=DIGITS)) is None


def test_judge_of_other_data_is_refused(classifier):
    other = replace(PLAIN, data=replace(DIGITS, size=16))
    with pytest.raises(UsageError, match=r"gan\.classifier: .* is not a classifier of digits at \(16, 16, 1\)"):
        judge_of(naming(other, classifier))


def test_run_with_a_classifier_logs_the_share_of_each_class(classifier, tmp_path, metrics_of):
    training = TrainingConfig(steps=2, batch_size=8, sample_every=2, checkpoint_every=2, sample_count=4)
    train(naming(replace(CONDITIONAL, training=training), classifier), tmp_path / "run")
    (line,) = [line for line in metrics_of(tmp_path / "run") if "diversity" in line or "class_share/0" in line]
    assert abs(sum(line[f"class_share/{i}"] for i in range(10)) - 1) < 1e-6 and 0 <= line["drawn_as_asked"] <= 1
