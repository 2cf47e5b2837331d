import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import Config, DiffusionConfig
from jaxgen.models.network import Network
from jaxgen.training.losses import ddpm, loss_weights, q_sample, target


def one_step(alpha_bar: float, prediction: str, weighting: str = "simple", gamma: float = 5.0) -> DiffusionConfig:
    """A schedule of one step that keeps this much of the signal."""
    beta = 1 - alpha_bar
    return DiffusionConfig(
        steps=1, sampler_steps=1, beta_start=beta, beta_end=beta, prediction=prediction, weighting=weighting,
        min_snr_gamma=gamma,
    )  # fmt: skip


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def test_q_sample_of_zeros_has_variance_one_minus_alpha_bar():
    eps = normal(20_000, 1, 1, 1)
    x_t = q_sample(jnp.zeros_like(eps), jnp.zeros(20_000, int), eps, jnp.array([0.36]))
    assert abs(float(x_t.var()) - 0.64) < 0.03


def test_q_sample_without_noise_keeps_the_root_of_alpha_bar():
    x0 = normal(2, 4, 4, 3)
    x_t = q_sample(x0, jnp.array([1, 0]), jnp.zeros_like(x0), jnp.array([0.81, 0.25]))
    assert jnp.allclose(x_t[0], 0.5 * x0[0]) and jnp.allclose(x_t[1], 0.9 * x0[1])


def test_targets_of_eps_and_x0_are_themselves():
    x0, eps, a = normal(2, 2, 2, 1), normal(2, 2, 2, 1, seed=1), jnp.array([0.5])
    t = jnp.zeros(2, int)
    assert target("eps", x0, t, eps, a) is eps
    assert target("x0", x0, t, eps, a) is x0


def test_x0_and_eps_can_be_had_back_from_v():
    a = jnp.array([0.99, 0.5, 0.01])
    x0, eps, t = normal(3, 4, 4, 2), normal(3, 4, 4, 2, seed=1), jnp.arange(3)
    x_t, v = q_sample(x0, t, eps, a), target("v", x0, t, eps, a)
    signal, noise = np.sqrt(a)[:, None, None, None], np.sqrt(1 - a)[:, None, None, None]
    assert jnp.allclose(signal * x_t - noise * v, x0, atol=1e-5)
    assert jnp.allclose(noise * x_t + signal * v, eps, atol=1e-5)


@pytest.mark.parametrize(
    ("alpha_bar", "prediction", "want"),
    [
        (0.9, "eps", 5 / 9),  # SNR 9, cut to 5
        (0.9, "x0", 5),
        (0.9, "v", 5 / 10),
        (0.5, "eps", 1),  # SNR 1, not cut
        (0.5, "x0", 1),
        (0.5, "v", 0.5),
    ],
)
def test_min_snr_weights_have_their_values(alpha_bar, prediction, want):
    assert loss_weights(one_step(alpha_bar, prediction, "min-snr")) == pytest.approx([want])


def test_min_snr_weighs_every_prediction_alike_in_terms_of_x0():
    # An error d of x0 is an error d * sqrt(SNR) of eps and d * sqrt(SNR + 1) of v.
    def weights(prediction: str) -> np.ndarray:
        return loss_weights(DiffusionConfig(prediction=prediction, weighting="min-snr"))

    a = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    snr = a / (1 - a)
    assert np.allclose(weights("eps") * snr, weights("x0")) and np.allclose(weights("v") * (snr + 1), weights("x0"))


def test_simple_weights_are_one():
    assert loss_weights(DiffusionConfig(steps=7, sampler_steps=1)).tolist() == [1.0] * 7


class Recorder:
    """A network that keeps what it is told, and knows the pictures if it is given them."""

    def __init__(self, answer=lambda x, t: jnp.zeros_like(x)):
        self.answer = answer
        self.network = Network(apply=self.apply, init=lambda key: {})

    def apply(self, params, x, t, label, *, key=None):
        self.x, self.t, self.label, self.key = x, t, label, key
        return self.answer(x, t)


def config(classes: int = 0, dropout: float = 0.0, **diffusion: object) -> Config:
    base = Config(diffusion=DiffusionConfig(**diffusion))
    return dataclasses.replace(base, model=dataclasses.replace(base.model, classes=classes, dropout=dropout))


X0 = jnp.clip(normal(64, 4, 4, 1, seed=9), -1, 1)
NONE = jnp.full(64, -1)


@pytest.mark.parametrize("weighting", ["simple", "min-snr"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_loss_of_a_perfect_network_is_zero(prediction, weighting):
    a = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))  # Ho et al. 2020, section 4

    def perfect(x, t):
        signal, noise = (jnp.asarray(np.sqrt(v), jnp.float32)[t][:, None, None, None] for v in (a, 1 - a))
        eps = (x - signal * X0) / noise
        return {"eps": eps, "x0": X0, "v": signal * eps - noise * X0}[prediction]

    network = Recorder(perfect).network
    loss = ddpm(config(prediction=prediction, weighting=weighting), network)
    assert float(loss({}, X0, NONE, key=jax.random.key(0))) < 1e-6


def test_loss_of_a_network_that_says_zero_is_the_power_of_what_it_should_say():
    images = jnp.concatenate([X0] * 40)
    labels = jnp.full(len(images), -1)
    zero = Recorder().network
    of_eps = ddpm(config(prediction="eps"), zero)({}, images, labels, key=jax.random.key(0))
    of_x0 = ddpm(config(prediction="x0"), zero)({}, images, labels, key=jax.random.key(0))
    assert float(of_eps) == pytest.approx(1, abs=0.03)
    assert float(of_x0) == pytest.approx(float(jnp.square(X0).mean()), rel=1e-5)


def test_loss_weighs_each_picture_by_its_time():
    recorder = Recorder()
    loss = ddpm(config(prediction="x0", weighting="min-snr", steps=4, sampler_steps=1, beta_end=0.9), recorder.network)
    value = loss({}, X0, NONE, key=jax.random.key(0))
    a = np.cumprod(1 - np.linspace(1e-4, 0.9, 4))
    weights = np.minimum(a / (1 - a), 5)[np.asarray(recorder.t)]
    assert float(value) == pytest.approx(float((weights * np.square(X0).mean((1, 2, 3))).mean()), rel=1e-5)


def test_times_are_uniform_over_all_steps():
    recorder = Recorder()
    images = jnp.zeros((50_000, 1, 1, 1))
    ddpm(config(steps=10, sampler_steps=1), recorder.network)({}, images, jnp.full(50_000, -1), key=jax.random.key(0))
    shares = np.bincount(np.asarray(recorder.t), minlength=10) / 50_000
    assert len(shares) == 10 and np.abs(shares - 0.1).max() < 0.01


def test_noise_is_standard_and_other_than_the_times():
    recorder = Recorder()
    images = jnp.zeros((20_000, 2, 2, 1))
    loss = ddpm(config(steps=1, sampler_steps=1, beta_start=0.64, beta_end=0.64), recorder.network)
    loss({}, images, jnp.full(20_000, -1), key=jax.random.key(0))
    assert float(recorder.x.mean()) == pytest.approx(0, abs=0.01)
    assert float(recorder.x.std()) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_labels_are_dropped_in_their_share_and_only_in_training(share):
    recorder = Recorder()
    settings = config(classes=3)
    settings = dataclasses.replace(settings, model=dataclasses.replace(settings.model, label_dropout=share))
    loss, labels = ddpm(settings, recorder.network), jnp.arange(20_000) % 3
    images = jnp.zeros((20_000, 1, 1, 1))
    loss({}, images, labels, key=jax.random.key(0))
    dropped = np.asarray(recorder.label == -1)
    assert abs(dropped.mean() - share) < 0.01
    assert np.array_equal(np.asarray(recorder.label)[~dropped], np.asarray(labels)[~dropped])
    loss({}, images, labels, key=jax.random.key(0), train=False)
    assert jnp.array_equal(recorder.label, labels)


def test_network_gets_a_dropout_key_in_training_alone():
    recorder = Recorder()
    loss = ddpm(config(dropout=0.5), recorder.network)
    loss({}, X0, NONE, key=jax.random.key(0))
    assert recorder.key is not None
    loss({}, X0, NONE, key=jax.random.key(0), train=False)
    assert recorder.key is None
