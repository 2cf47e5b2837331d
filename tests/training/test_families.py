"""Whole runs of the families that are quick to train, on real digits."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import config as configs, data
from jaxgen.config import FAMILIES, Config
from jaxgen.config.presets import preset
from jaxgen.errors import Interrupted, JaxgenError
from jaxgen.models import network as networks
from jaxgen.runs.folder import may_change
from jaxgen.training import families
from jaxgen.training.data_loading import open_data
from jaxgen.training.families import Family
from jaxgen.training.restore import load_trained
from jaxgen.training.train_step import device_mesh, make_init, make_steps
from jaxgen.training.trainer import train

EPOCH = 46  # steps: 1497 digits in batches of 32


@pytest.fixture(scope="session")
def vae() -> Config:
    """A conditional VAE whose pixels and latents are drawn, for two epochs: all that could differ in a resumed run."""
    settings = ["model.hidden=[32]", "vae.binarization=dynamic", "training.batch_size=32", "training.epochs=2"]
    settings += ["training.checkpoint_epochs=1", "training.log_every=1", "training.sample_every=0"]
    return configs.override(preset("cvae-digits"), [*settings, "training.sample_count=4", "training.ema=0.9"])


@pytest.fixture(scope="session")
def straight_vae(vae, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae") / "run"
    train(vae, folder)
    return folder


def test_every_family_has_an_entry():
    assert families.FAMILIES.keys() == FAMILIES.keys()
    assert {name for name, family in families.FAMILIES.items() if bool(family.loss) == bool(family.learner)} == set()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cgan-digits", ["gan.discriminator_lr=1e-4", "gan.loss=hinge", "gan.critic_steps=2", "model.dropout=0.0"]),
        ("vae-digits", ["vae.beta=0.5", "vae.free_bits=0.1", "vae.likelihood=gaussian"]),
        ("cddpm-digits", ["model.label_dropout=0.0", "model.dropout=0.1", "training.grad_clip=0.0"]),
    ],
)
def test_what_may_change_in_a_resumed_run_leaves_the_state_its_shapes(name, settings):
    states = [
        jax.eval_shape(families.learner(config, networks.build(config), lambda step: 1e-3).init, jax.random.key(0))
        for config in (preset(name), configs.override(preset(name), settings))
    ]
    assert all(may_change(setting.partition("=")[0]) for setting in settings)
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])
    assert jax.tree.leaves(states[0]) == jax.tree.leaves(states[1])


def test_epoch_of_a_vae_in_one_call_is_that_of_single_steps(vae):
    learner = families.learner(vae, networks.build(vae), lambda step: 1e-3)
    mesh, root = device_mesh(), jax.random.key(5)
    init, call = make_init(learner, mesh), make_steps(learner.update, mesh)
    batches, _ = open_data(vae, None)
    images, labels = (np.stack(part) for part in zip(*(batches[step] for step in range(EPOCH)), strict=True))
    together, metrics = call(init(root), images, labels, root)
    apart, losses = init(root), []
    for i in range(EPOCH):
        apart, measured = call(apart, images[i : i + 1], labels[i : i + 1], root)
        losses.append(float(measured["loss"][0]))
    assert np.allclose(metrics["loss"], losses, rtol=1e-4)
    assert set(metrics) == {"loss", "reconstruction", "kl", "grad_norm", "lr"}
    for name, value in together.params.items():
        assert np.allclose(value, apart.params[name], atol=1e-4), name


def test_run_of_a_vae_reports_the_terms_of_its_loss(straight_vae, metrics_of):
    lines = [line for line in metrics_of(straight_vae) if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 2 * EPOCH + 1))
    for line in lines:
        assert line["loss"] == pytest.approx(line["reconstruction"] + line["kl"], rel=1e-5)
    tests = [line for line in metrics_of(straight_vae) if "test_loss" in line]
    assert [line["step"] for line in tests] == [EPOCH, 2 * EPOCH]
    assert tests[1]["test_loss"] < tests[0]["test_loss"] < lines[0]["loss"]
    assert tests[0]["test_loss"] == pytest.approx(tests[0]["test_reconstruction"] + tests[0]["test_kl"], rel=1e-5)


def test_stopped_and_resumed_vae_equals_one_that_was_not_bit_for_bit(
    straight_vae, vae, tmp_path, sigterm_at, assert_same_state, metrics_of
):
    run = tmp_path / "run"
    with sigterm_at(1), pytest.raises(Interrupted, match=f"saved at step {EPOCH}"):  # the call is of a whole epoch
        train(vae, run)
    train(vae, run)
    assert_same_state(straight_vae, run, 2 * EPOCH)
    ours, theirs = ([line for line in metrics_of(each) if "loss" in line] for each in (run, straight_vae))
    assert ours == theirs and len(ours) == 2 * EPOCH  # of steps; the signal cut the test loss of the first epoch short


@pytest.mark.parametrize("term", ["loss", "kl"])
def test_run_stops_at_the_first_step_of_which_a_term_is_not_finite(vae, tmp_path, monkeypatch, metrics_of, term):
    def breaking(config, network):
        def loss(params, x0, label, *, key, train=True):
            bad = jnp.where((jax.random.key_data(key) == seventh).all(), jnp.nan, 1.0)
            terms = {"loss": sum(jnp.sum(value) for value in params.values()), "kl": jnp.float32(2)}
            terms[term] *= bad
            return terms.pop("loss"), terms

        return loss

    seventh = jax.random.key_data(jax.random.fold_in(jax.random.key(vae.training.seed), 6))
    monkeypatch.setitem(families.FAMILIES, "vae", Family(breaking))
    with pytest.raises(JaxgenError, match=rf"{term} nan.* at step 7 \(last finite loss: ") as stopped:
        train(vae, tmp_path / "run")
    assert "\n" not in str(stopped.value)
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_test_term_that_is_not_finite_saves_nothing(vae, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxgen.training.monitor.Monitor.test_loss", lambda *_: {"loss": 1.0, "kl": float("inf")})
    with pytest.raises(JaxgenError, match=f"test kl inf at step {EPOCH}"):
        train(vae, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_autoencoder_learns_the_digits(tmp_path, metrics_of):
    config = configs.override(preset("vae-digits"), ["training.epochs=80", "training.checkpoint_epochs=40"])
    train(config, tmp_path / "run")
    scores = [line["test_loss"] for line in metrics_of(tmp_path / "run") if "test_loss" in line]
    # Pixels drawn each with its mean over the training set, which is all that can be done without a latent.
    images, test = (data.load("digits", split).images / 255 for split in ("train", "test"))
    mean = images.mean(0).clip(1e-3, 1 - 1e-3)
    without = -(test * np.log(mean) + (1 - test) * np.log(1 - mean)).sum((1, 2, 3)).mean()
    assert len(scores) == 2 and scores[1] < scores[0] < without
    assert scores[1] < without - 2


@pytest.fixture(scope="session")
def classifier_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "run"
    settings = ["training.epochs=12", "training.checkpoint_epochs=12", "training.log_every=11"]
    train(configs.override(preset("classifier-digits"), settings), folder)
    return folder


def test_classifier_learns_the_digits(classifier_run):
    trained = load_trained(classifier_run)
    test = data.load("digits", "test")
    network = networks.build(trained.config)
    scores = network.apply(trained.params, test.images / np.float32(127.5) - 1)
    right = float((np.argmax(scores, axis=1) == test.labels).mean())
    assert right > 0.9
    lines = [json.loads(line) for line in (classifier_run / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["test_accuracy"] == pytest.approx(right, abs=1e-6)


def test_classifier_samples_nothing(classifier_run):
    assert list((classifier_run / "samples").iterdir()) == []
