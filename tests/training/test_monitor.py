"""What a run is told of itself: warnings in their time, and the images of a VAE."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxgen import config as configs
from jaxgen.config import GAN, VAE, DataConfig, GANConfig, TrainingConfig, VAEConfig
from jaxgen.training.diagnostics import DiagnosticReport
from jaxgen.training.families import FAMILIES, Family
from jaxgen.training.monitor import Monitor
from jaxgen.training.trainer import train
from jaxgen.training.vae_diagnostics import watch_vae

DIGITS = DataConfig(dataset="digits", size=8, channels=1)
PLAIN = GAN(data=DIGITS, model=GANConfig(latent=4, widths=(4,), doublings=1))
BLIND = VAE(
    name="blind", data=DIGITS, model=VAEConfig(latent=3, hidden=(4,)),
    training=TrainingConfig(steps=2, batch_size=8, sample_every=2, sample_count=4, test_images=10),
)  # fmt: skip
IMAGES = np.random.default_rng(0).integers(0, 2, (200, 8, 8, 1)).astype(np.uint8) * 255
LABELS = np.arange(200, dtype=np.int32) % 10


@pytest.fixture
def shown(monkeypatch):
    """shown(seen): a monitor whose family sees that."""

    def monitor(seen: DiagnosticReport) -> Monitor:
        monkeypatch.setitem(FAMILIES, "gan", Family(learner=FAMILIES["gan"].learner, watch=lambda *_: seen))
        return Monitor(PLAIN, None)

    return monitor


def test_warning_of_a_kind_is_reported_once_and_not_before_the_run_has_settled(shown):
    monitor = shown(DiagnosticReport(warnings={"sameness": "samples are alike"}))
    early, first, again = (monitor.watch({}, {"step": step}).warnings for step in (300, 1000, 1500))
    assert (early, first, again) == ({}, {"sameness": "samples are alike"}, {})


@pytest.mark.parametrize(("total", "first"), [(10_000, 500), (1000, 500), (400, 200), (150, 100), (90, None)])
def test_short_run_has_settled_at_its_half(shown, total, first):
    monitor = replace(shown(DiagnosticReport(warnings={"sameness": "samples are alike"})), total=total)
    steps = range(10, min(total, 600) + 1, 10)
    assert [step for step in steps if monitor.watch({}, {"step": step}).warnings] == ([first] if first else [])


def test_run_reports_its_length_and_is_judged_by_the_mean_of_its_last_steps(tmp_path, monkeypatch):
    asked, lengths = [], []

    def watch(monitor, params, metrics):
        asked.append(dict(metrics))
        lengths.append(monitor.total)
        return DiagnosticReport()

    monkeypatch.setitem(FAMILIES, "vae", replace(FAMILIES["vae"], watch=watch))
    settings = ["training.steps=7", "training.sample_every=7", "training.scan_steps=2", "training.log_every=1"]
    train(configs.override(BLIND, settings), tmp_path / "each")
    train(configs.override(BLIND, [*settings, "training.log_every=5"]), tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "each" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert lengths == [7, 7] and [found["step"] for found in asked] == [7, 7]
    assert asked[0]["loss"] == losses[-1] and np.isclose(asked[1]["loss"], np.mean(losses[2:]))


@pytest.mark.parametrize(("classes", "without", "want"), [(4, (), "012301"), (4, (1, 2), "030303"), (0, (1,), None)])
def test_classes_that_the_data_leaves_out_are_not_sampled(classes, without, want):
    config = replace(PLAIN, data=replace(DIGITS, without=without), model=replace(PLAIN.model, classes=classes))
    labels = Monitor(config, None).labels(6)
    assert labels is want or "".join(map(str, labels)) == want


def test_vae_too_is_given_time():
    monitor = Monitor(BLIND, (IMAGES[:20], LABELS[:20]))
    params = monitor.network.init(jax.random.key(0))
    params = {name: 0 * value for name, value in params.items()}  # says the same of every image
    assert monitor.watch(params, {"step": 300}).warnings == {}
    (warning,) = monitor.watch(params, {"step": 1000}).warnings.values()
    assert warning.startswith("posterior collapse: 0 of 3 latent dimensions") and "vae.free_bits=0.1" in warning


def test_what_is_not_finite_is_left_out_and_reported_in_a_line(shown, tmp_path):
    seen = shown(DiagnosticReport(scalars={"kl": float("inf"), "share": 0.5})).watch({}, {"step": 7})
    assert seen.scalars == {"share": 0.5}
    assert list(seen.warnings.values()) == ["kl inf: not finite, so left out of the metrics"]


def test_run_whose_kl_overflows_on_test_images_goes_on(tmp_path, monkeypatch, capsys, metrics_of):
    monkeypatch.setattr("jaxgen.training.vae_diagnostics.kl_divergence", lambda mean, _: np.full_like(mean, np.inf))
    train(BLIND, tmp_path / "run")
    assert any("active_units" in line for line in metrics_of(tmp_path / "run"))
    assert "warning: step 2: kl_of_dimension/00 inf" in capsys.readouterr().err


# ---- VAEs


def told(apply, images: np.ndarray) -> Monitor:
    """A monitor of a network that says what it is told to."""
    monitor = Monitor(BLIND, (images, LABELS[: len(images)]))
    monitor.__dict__.update(apply=apply, sample=lambda params: IMAGES[:4])
    return monitor


@pytest.mark.parametrize("count", [10, 1, 40])
def test_reconstructions_lie_below_what_they_are_of_however_few(count):
    images = IMAGES[:count]
    monitor = told(mirror, images)
    seen = watch_vae(monitor, {}, {})
    sheet = seen.images["reconstructions"]
    shown = min(count, 32)
    assert sheet.shape[0] == 2 + (56 + 2) * 2 * -(-shown // 8)  # images are shown seven times as large
    for i in range(shown):
        top, left = 2 + 58 * 2 * (i // 8), 2 + 58 * (i % 8)
        above, below = (sheet[y : y + 56 : 7, left : left + 56 : 7] for y in (top, top + 58))
        assert np.array_equal(above, images[i]) and (below == 255).all()
    assert (sheet[-30:, -30:] == 128).all() == (count % 8 != 0 and count < 32)


def mirror(params, x, *label, method="__call__"):
    """An encoder that tells three pixels, and a decoder that draws white."""
    if method == "encode":
        return x[:, 0, :3, 0], np.zeros((len(x), 3), np.float32)
    return np.ones((len(x), 8, 8, 1), np.float32)


def test_test_set_is_encoded_by_the_batch(monkeypatch):
    asked, labels = [], []

    def apply(params, x, label, *, method):
        asked.append(x)
        labels.append(label)
        return mirror(params, x, method=method)

    monitor = told(apply, IMAGES)
    mean, log_variance = monitor.encode({}, IMAGES, LABELS)
    assert np.array_equal(np.concatenate(labels), LABELS)
    assert [len(x) for x in asked] == [128, 72] and asked[0].max() == 1 and asked[0].min() == -1
    assert np.allclose(mean, IMAGES[:, 0, :3, 0] / 127.5 - 1) and log_variance.shape == (200, 3)


def test_active_units_are_the_dimensions_that_distinguish_images():
    def apply(params, x, *label, method="__call__"):
        if method == "encode":
            first = x[:, 0, 0, 0]
            return np.stack([first, 0.05 * first, np.ones_like(first)], axis=1), np.zeros((len(x), 3), np.float32)
        return np.zeros((len(x), 8, 8, 1), np.float32)

    black_or_white = np.repeat(np.array([0, 255], np.uint8), 10).reshape(20, 1, 1, 1) * np.ones((8, 8, 1), np.uint8)
    monitor = told(apply, black_or_white)
    assert watch_vae(monitor, {}, {}).scalars["active_units"] == 1  # a variance of 1, of 0.0025 and of 0


@pytest.mark.parametrize(("latent", "most"), [(1, 0), (2, 1), (3, 1), (4, 1), (8, 2)])
@pytest.mark.parametrize("more", [0, 1])
def test_collapse_is_reported_where_a_quarter_or_one_of_few_dimensions_is_left(latent, most, more):
    active = most + more

    def apply(params, x, *label, method="__call__"):
        if method == "encode":
            return np.outer(x[:, 0, 0, 0], np.arange(latent) < active), np.zeros((len(x), latent), np.float32)
        return np.zeros((len(x), 8, 8, 1), np.float32)

    black_or_white = np.repeat(np.array([0, 255], np.uint8), 10).reshape(20, 1, 1, 1) * np.ones((8, 8, 1), np.uint8)
    seen = watch_vae(told(apply, black_or_white), {}, {})
    assert seen.scalars["active_units"] == active
    assert ("posterior collapse" in seen.warnings) == (more == 0)
