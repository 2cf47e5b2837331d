import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import torch

from jaxgen.config import DDPM, Classifier, ClassifierConfig, DiffusionConfig, Flow, FlowConfig
from jaxgen.models.network import Network
from jaxgen.sampling.plan import make_plan
from jaxgen.training.classifier import classifier
from jaxgen.training.diffusion import ddpm, flow, loss_weights, q_sample, target


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


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "edm"])
def test_plan_has_x0_back_from_every_target(prediction):
    a = np.array([0.999, 0.5, 0.01])
    x0, eps, t = normal(3, 4, 4, 2), normal(3, 4, 4, 2, seed=1), jnp.arange(3)
    x_t, out = q_sample(x0, t, eps, jnp.array(a)), target(prediction, x0, t, eps, jnp.array(a))
    table = make_plan(a, steps=3, prediction=prediction, clip=np.inf)[::-1]
    x0_x, x0_out = table[:, 1:3].T[:, :, None, None, None]
    np.testing.assert_allclose(x0_x * x_t + x0_out * out, x0, atol=1e-4)


def test_preconditioned_target_has_unit_variance_for_images_of_deviation_a_half():
    a = np.array([0.9999, 0.8, 0.1, 1e-4])
    x0, eps = 0.5 * normal(4, 50_000, 1, 1), normal(4, 50_000, 1, 1, seed=1)
    deviation = np.asarray(target("edm", x0, jnp.arange(4), eps, jnp.array(a)).std((1, 2, 3)))
    np.testing.assert_allclose(deviation, 1, atol=0.02)


@pytest.mark.parametrize(
    ("alpha_bar", "prediction", "want"),
    [
        (0.9, "eps", 5 / 9),  # SNR 9, cut to 5
        (0.9, "x0", 5),
        (0.9, "v", 5 / 10),
        (0.9, "edm", 5 / 13),  # the error of x0 is the output's times 0.5 sqrt(0.1 / 0.325)
        (0.5, "eps", 1),  # SNR 1, not cut
        (0.5, "x0", 1),
        (0.5, "v", 0.5),
        (0.5, "edm", 1 / 5),
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
    """A network that keeps what it is told, and knows the images if it is given them."""

    def __init__(self, answer=lambda x, t: jnp.zeros_like(x)):
        self.answer = answer
        self.network = Network(init=lambda key: {}, apply=self.apply, train=self.apply, trainable=frozenset())

    def apply(self, params, x, t, label, *, key=None):
        self.x, self.t, self.label, self.key = x, t, label, key
        return self.answer(x, t)


def config(classes: int = 0, dropout: float = 0.0, **diffusion: object) -> DDPM:
    base = DDPM(diffusion=DiffusionConfig(**diffusion))
    return dataclasses.replace(base, model=dataclasses.replace(base.model, classes=classes, dropout=dropout))


X0 = jnp.clip(normal(64, 4, 4, 1, seed=9), -1, 1)
NONE = jnp.full(64, -1)


@pytest.mark.parametrize("weighting", ["simple", "min-snr"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "edm"])
def test_loss_of_a_perfect_network_is_zero(prediction, weighting):
    a = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))  # Ho et al. 2020, section 4

    def perfect(x, t):
        signal, noise = (jnp.asarray(np.sqrt(v), jnp.float32)[t][:, None, None, None] for v in (a, 1 - a))
        eps = (x - signal * X0) / noise
        edm = (noise * X0 - signal * eps / 4) / (0.5 * jnp.sqrt(noise**2 + signal**2 / 4))  # sigma_data 0.5
        return {"eps": eps, "x0": X0, "v": signal * eps - noise * X0, "edm": edm}[prediction]

    network = Recorder(perfect).network
    loss = ddpm(config(prediction=prediction, weighting=weighting), network)
    assert float(loss({}, X0, NONE, key=jax.random.key(0))[0]) < 1e-6


def test_loss_of_a_network_that_says_zero_is_the_power_of_what_it_should_say():
    images = jnp.concatenate([X0] * 40)
    labels = jnp.full(len(images), -1)
    zero = Recorder().network
    of_eps, _ = ddpm(config(prediction="eps"), zero)({}, images, labels, key=jax.random.key(0))
    of_x0, _ = ddpm(config(prediction="x0"), zero)({}, images, labels, key=jax.random.key(0))
    assert float(of_eps) == pytest.approx(1, abs=0.03)
    assert float(of_x0) == pytest.approx(float(jnp.square(X0).mean()), rel=1e-5)


def test_loss_weighs_each_image_by_its_time():
    recorder = Recorder()
    loss = ddpm(config(prediction="x0", weighting="min-snr", steps=4, sampler_steps=1, beta_end=0.9), recorder.network)
    value, _ = loss({}, X0, NONE, key=jax.random.key(0))
    a = np.cumprod(1 - np.linspace(1e-4, 0.9, 4))
    weights = np.minimum(a / (1 - a), 5)[np.asarray(recorder.t)]
    assert float(value) == pytest.approx(float((weights * np.square(X0).mean((1, 2, 3))).mean()), rel=1e-5)


def test_times_are_uniform_over_all_steps():
    recorder = Recorder()
    images = jnp.zeros((50_000, 1, 1, 1))
    ddpm(config(steps=10, sampler_steps=1), recorder.network)({}, images, jnp.full(50_000, -1), key=jax.random.key(0))
    shares = np.bincount(np.asarray(recorder.t), minlength=10) / 50_000
    assert len(shares) == 10 and np.abs(shares - 0.1).max() < 0.01


@pytest.mark.parametrize("times", ["logit-normal", "log-normal"])
@pytest.mark.parametrize("steps", [10, 1])
def test_times_have_their_distribution(times, steps):
    recorder = Recorder()
    settings = config(steps=steps, sampler_steps=1, beta_end=0.9, times=times)
    ddpm(settings, recorder.network)({}, jnp.zeros((50_000, 1, 1, 1)), jnp.full(50_000, -1), key=jax.random.key(0))
    shares = np.bincount(np.asarray(recorder.t), minlength=steps) / 50_000
    if times == "logit-normal":  # a step's share is that of the times t / T between it and the next
        with np.errstate(divide="ignore"):
            edges = np.log(np.arange(steps + 1) / np.arange(steps, -1, -1))
    else:  # that of the noise levels to which it is the nearest
        a = np.cumprod(1 - np.linspace(1e-4, 0.9, steps))
        levels = (np.log(np.sqrt((1 - a) / a)) + 1.2) / 1.2
        edges = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
    assert len(shares) == steps
    np.testing.assert_allclose(shares, np.diff(scipy.stats.norm.cdf(edges)), atol=0.01)


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


# ---- flow


def flow_config(classes: int = 0, dropout: float = 0.0, **flow: object) -> Flow:
    base = Flow(flow=FlowConfig(**flow))
    return dataclasses.replace(base, model=dataclasses.replace(base.model, classes=classes, dropout=dropout))


@pytest.mark.parametrize("times", ["uniform", "logit-normal"])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_flow_is_the_mean_squared_error_of_the_velocity_on_the_straight_path(scale, times):
    recorder = Recorder(lambda x, t: 0.5 * x)
    value, terms = flow(flow_config(time_scale=scale, times=times), recorder.network)(
        {}, X0, NONE, key=jax.random.key(0)
    )
    x, x0 = np.asarray(recorder.x, np.float64), np.asarray(X0, np.float64)
    t = np.asarray(recorder.t, np.float64)[:, None, None, None] / scale
    far = t.ravel() > 1e-2  # elsewhere rounding drowns the noise
    eps = ((x - (1 - t) * x0) / t)[far]  # x_t = (1 - t) x0 + t eps
    assert eps.mean() == pytest.approx(0, abs=0.15) and eps.std() == pytest.approx(1, abs=0.1)
    assert terms == {} and np.count_nonzero(~far) <= 2
    want = np.square(0.5 * x[far] - (eps - x0[far])).mean()
    assert float(value) == pytest.approx(want, rel=0.05 if (~far).any() else 1e-4)


def test_flow_of_a_perfect_network_is_zero():
    recorder = Recorder(lambda x, t: (x - X0) / (t[:, None, None, None] / 1000))
    assert float(flow(flow_config(), recorder.network)({}, X0, NONE, key=jax.random.key(3))[0]) < 1e-6


@pytest.mark.parametrize(
    ("times", "quartiles"), [("uniform", [0.25, 0.5, 0.75]), ("logit-normal", [0.3375, 0.5, 0.6625])]
)
def test_times_of_a_flow_have_their_distribution(times, quartiles):
    recorder = Recorder()
    images = jnp.zeros((50_000, 1, 1, 1))
    flow(flow_config(times=times), recorder.network)({}, images, jnp.full(50_000, -1), key=jax.random.key(0))
    t = np.asarray(recorder.t) / 1000
    # the quartiles of a standard normal are -0.6745, 0 and 0.6745; sigmoid(0.6745) = 0.6625
    assert np.abs(np.quantile(t, [0.25, 0.5, 0.75]) - quartiles).max() < 0.01 and 0 <= t.min() < t.max() < 1


def test_flow_drops_labels_and_features_in_training_alone():
    recorder = Recorder()
    loss, labels = flow(flow_config(classes=3, dropout=0.5), recorder.network), jnp.arange(20_000) % 3
    images = jnp.zeros((20_000, 1, 1, 1))
    loss({}, images, labels, key=jax.random.key(0))
    assert abs(float((recorder.label == -1).mean()) - 0.1) < 0.01 and recorder.key is not None
    loss({}, images, labels, key=jax.random.key(0), train=False)
    assert jnp.array_equal(recorder.label, labels) and recorder.key is None


# ---- classifier


@pytest.mark.parametrize(("train", "dropout"), [(True, 0.5), (True, 0.0), (False, 0.5)])
def test_classifier_loss_is_the_cross_entropy_of_torch(train, dropout):
    scores, labels = 3 * np.asarray(normal(50, 4)), np.arange(50) % 4
    keys = []

    def apply(params, x, *, key=None):
        keys.append(key)
        return jnp.asarray(scores)

    network = Network(init=lambda key: {}, apply=apply, train=apply, trainable=frozenset())
    settings = Classifier(model=ClassifierConfig(classes=4, dropout=dropout))
    loss = classifier(settings, network)
    value, terms = loss({}, jnp.zeros((50, 8, 8, 1)), jnp.asarray(labels), key=jax.random.key(0), train=train)
    want = torch.nn.functional.cross_entropy(torch.from_numpy(scores), torch.from_numpy(labels))
    assert float(value) == pytest.approx(want.item(), rel=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(
        np.mean([max(range(4), key=lambda c: row[c]) for row in scores] == labels)
    )
    assert [key is not None for key in keys] == [train and dropout > 0]
