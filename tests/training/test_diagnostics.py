from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest

from jaxgen import config as configs
from jaxgen.config import GAN, VAE, DataConfig, GANConfig, TrainingConfig
from jaxgen.runs.folder import may_change
from jaxgen.training.gan_diagnostics import imbalance, missing, sameness, watch_gan
from jaxgen.training.vae_diagnostics import against_collapse

DIGITS = DataConfig(dataset="digits", size=8, channels=1)
PLAIN = GAN(data=DIGITS, model=GANConfig(latent=4, widths=(4,), doublings=1))
CONDITIONAL = replace(PLAIN, model=replace(PLAIN.model, classes=10))
FAIR = {"d_real": 0.7, "d_fake": 0.3, "step": 1000}
# Ten images that differ from each other, one a class
PATTERNS = np.random.default_rng(0).integers(0, 2, (10, 8, 8, 1)).astype(np.uint8) * 255


def noisy(classes: np.ndarray, seed: int = 0) -> np.ndarray:
    """The images of some classes, each with a fifth of its pixels turned."""
    flips = np.random.default_rng(seed).random((len(classes), 8, 8, 1)) < 0.2
    return np.where(flips, 255 - PATTERNS[classes], PATTERNS[classes]).astype(np.uint8)


def nearest(images: np.ndarray) -> np.ndarray:
    return np.abs(images[:, None].astype(float) - PATTERNS).sum((2, 3, 4)).argmin(1)


class FakeSubject:
    """A monitor of a generator that draws what it is told to."""

    test = (noisy(np.arange(200) % 10, seed=1), np.arange(200, dtype=np.int32) % 10)

    def __init__(self, config: GAN, sample, *, judged: bool = False) -> None:
        self.config, self._draw, self._judged = config, sample, judged

    def sample(self, params, count=0):
        return self._draw(np.arange(count or self.config.training.sample_count))

    def labels(self, count):
        return np.arange(count) % 10 if self.config.class_count else None

    @cached_property
    def judge(self):
        def judge(images, asked):
            found = nearest(images)
            shares = np.bincount(found, minlength=10) / len(found)
            return shares, None if asked is None else float((found == asked).mean())

        return judge if self._judged else None


def good(index):
    return noisy(index % 10)


def shuffled(index):
    return noisy(np.random.default_rng(2).integers(0, 10, len(index)))


def grey(index):
    return np.full((len(index), 8, 8, 1), 127, np.uint8)


def one_image(index):
    return np.repeat(PATTERNS[3:4], len(index), axis=0)


def one_a_class(index):
    return PATTERNS[index % 10]


def seven_classes(index):
    return noisy(index % 7)


@pytest.mark.parametrize("config", [PLAIN, CONDITIONAL])
@pytest.mark.parametrize("judged", [False, True])
def test_good_generator_warns_of_nothing(config, judged):
    seen = watch_gan(FakeSubject(config, good, judged=judged), {}, FAIR)
    assert seen.warnings == {} and 0.9 < seen.scalars["diversity"] < 1.1
    assert ("label_accuracy" in seen.scalars) == (judged and config.class_count > 0)
    assert list(seen.images) == ["samples"]
    columns = 10 if config.class_count else 8  # one for each class, of 64 samples
    assert seen.images["samples"].shape[1] == columns * (7 * 8 + 2) + 2


@pytest.mark.parametrize("sample", [grey, one_image])
@pytest.mark.parametrize("config", [PLAIN, CONDITIONAL])
def test_collapse_is_reported_without_a_classifier(config, sample):
    (warning,) = watch_gan(FakeSubject(config, sample), {}, FAIR).warnings.values()
    assert warning.startswith("mode collapse: samples differ from each other 0%")
    assert all(key in warning for key in ("training.lr", "gan.loss=hinge", "model.dropout"))


def test_one_image_a_class_is_a_collapse_of_a_conditional_model_alone():
    assert watch_gan(FakeSubject(PLAIN, one_a_class), {}, FAIR).warnings == {}
    (warning,) = watch_gan(FakeSubject(CONDITIONAL, one_a_class), {}, FAIR).warnings.values()
    assert "samples differ from each other 0%" in warning


def test_classes_that_are_never_sampled_are_named():
    seen = watch_gan(FakeSubject(PLAIN, seven_classes, judged=True), {}, FAIR)
    (warning,) = seen.warnings.values()
    assert "hardly any 7, 8, 9 among 500 samples" in warning
    assert abs(seen.scalars["class_share/2"] - 1 / 7) < 0.01 and seen.scalars["class_share/8"] < 0.01


def test_classes_that_the_data_leaves_out_are_not_missed():
    without = replace(PLAIN, data=replace(DIGITS, without=(7, 8, 9)))
    assert watch_gan(FakeSubject(without, seven_classes, judged=True), {}, FAIR).warnings == {}


def test_generator_that_ignores_the_class_samples_one_in_ten_of_the_requested_class():
    seen = watch_gan(FakeSubject(CONDITIONAL, shuffled, judged=True), {}, FAIR)
    assert abs(seen.scalars["label_accuracy"] - 0.1) < 0.06  # four deviations of 500 draws


def test_classifier_looks_at_more_images_than_are_shown():
    few = replace(PLAIN, training=TrainingConfig(sample_count=4))
    seen = watch_gan(FakeSubject(few, good, judged=True), {}, FAIR)
    alone = watch_gan(FakeSubject(few, good), {}, FAIR)
    assert seen.warnings == {} and seen.images["samples"].shape == alone.images["samples"].shape


@pytest.mark.parametrize(
    ("real", "fake", "winner"),
    [
        (0.99, 0.01, "discriminator"), (0.3, 0.7, "generator"), (0.9, 0.1, None), (0.5, 0.5, None), (0.99, 0.2, None),
        (0.45, 0.5, None), (0.55, 0.7, None), (0.576, 0.955, "generator"), (0.99, 0.85, "generator"),
    ],
)  # fmt: skip
def test_imbalance_names_who_wins_and_what_to_change(real, fake, winner):
    config = configs.override(PLAIN, ["training.lr=0.002", "model.dropout=0.3"])
    warnings = imbalance({"d_real": real, "d_fake": fake}, config)
    assert list(warnings) == ([f"{winner} wins"] if winner else [])
    if winner:
        (warning,) = warnings.values()
        rate = {"discriminator": "0.001", "generator": "0.004"}[winner]
        assert warning.startswith(f"the {winner} wins (D(real) {real:.2f}, D(fake) {fake:.2f})")
        assert f"gan.discriminator_lr={rate}," in warning and "model.dropout" in warning


@pytest.mark.parametrize(("own", "advice"), [("1e-7", 0.002), ("0.003", 0.006)])
def test_discriminator_that_lags_is_given_at_least_the_generators_rate(own, advice):
    config = configs.override(PLAIN, ["training.lr=0.002", f"gan.discriminator_lr={own}"])
    (warning,) = imbalance({"d_real": 0.576, "d_fake": 0.955}, config).values()
    assert f"gan.discriminator_lr={advice}," in warning


def test_discriminator_that_leads_is_given_at_most_the_generators_rate():
    config = configs.override(PLAIN, ["training.lr=0.002", "gan.discriminator_lr=0.1"])
    (warning,) = imbalance({"d_real": 0.99, "d_fake": 0.01}, config).values()
    assert "gan.discriminator_lr=0.002," in warning


def test_one_image_of_a_generator_that_wins_is_explained_by_that():
    seen = watch_gan(FakeSubject(PLAIN, one_image), {}, {"d_real": 0.5, "d_fake": 0.9})
    assert list(seen.warnings) == ["generator wins"]  # the advice against sameness is the opposite of this one's


def advised(warnings):
    """The KEY=VALUE settings and keys that some warnings name."""
    words = " ".join(warnings.values()).replace(",", " ").replace(";", " ").split()
    return [word for word in words if word.startswith(("gan.", "model.", "training.", "vae."))]


@pytest.mark.parametrize("settings", [[], ["gan.loss=hinge"], ["gan.critic_steps=2", "training.batch_size=6"]])
def test_advice_is_of_what_a_resumed_run_lets_change_and_has_not_already(settings):
    config = configs.override(PLAIN, settings)
    for warnings in (
        imbalance({"d_real": 0.1, "d_fake": 0.9}, config), imbalance({"d_real": 1.0, "d_fake": 0.0}, config),
        sameness(0.1, config), missing(np.eye(10)[0], 500, config),
    ):  # fmt: skip
        named = advised(warnings)
        assert named and all(may_change(word.partition("=")[0]) for word in named)
        for setting in named:
            if "=" in setting:
                assert configs.override(config, [setting]) != config


@pytest.mark.parametrize("settings", [[], ["vae.free_bits=0.1"], ["vae.samples=5"]])
def test_advice_against_posterior_collapse_is_taken_by_the_config(settings):
    config = configs.override(VAE(), settings)
    named = advised({"": against_collapse(config.vae)})
    assert all(may_change(word.partition("=")[0]) for word in named)
    changed = configs.override(config, [word for word in named if "=" in word])
    assert changed.vae.free_bits > config.vae.free_bits


def test_scores_that_are_no_beliefs_are_not_called_an_imbalance():
    settings = ["gan.loss=wgan-gp", "model.discriminator_norm=none"]
    scores = {"d_real": 40.0, "d_fake": -35.0}
    assert watch_gan(FakeSubject(configs.override(PLAIN, settings), good), {}, scores).warnings == {}
    hinge = configs.override(PLAIN, ["gan.loss=hinge"])
    assert len(watch_gan(FakeSubject(hinge, good), {}, {"d_real": 1.0, "d_fake": 0.0}).warnings) == 1


def test_sameness_and_missing_are_silent_above_their_thresholds():
    assert sameness(0.6, PLAIN) == {} and len(sameness(0.4, PLAIN)) == 1
    for most, count in [(0.1, 0), (0.02, 0), (0.005, 1)]:
        shares = np.array([most] + [(1 - most) / 9] * 9)
        assert len(missing(shares, 500, PLAIN)) == count
