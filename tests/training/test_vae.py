"""The bounds of the VAE against torch's losses and distributions, and against integrals."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from jaxgen.config import VAE, DataConfig, VAEConfig, VAEObjective
from jaxgen.models.network import Network
from jaxgen.training.vae import binarized, log_weights, vae

PIXELS = np.random.default_rng(0).uniform(0, 1, (6, 2, 2, 1)).astype(np.float32)
X0 = jnp.asarray(2 * PIXELS - 1)
LABEL = jnp.full(6, -1)
WEIGHT = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
BIAS = np.array([0.3, -0.2, 0.1, 0.0], np.float32)
# What the encoder says, the same of every image but for its first pixel: three latent dimensions.
PARAMS = {"mean": jnp.array([0.7, -0.01, 0.3]), "log_variance": jnp.array([-1.2, 0.02, 0.5])}
KEY = jax.random.key(7)


class Recorder:
    """A linear autoencoder that keeps what it is told."""

    def __init__(self) -> None:
        self.network = Network(init=lambda key: PARAMS, apply=self.apply, train=self.apply, trainable=frozenset(PARAMS))

    def apply(self, params, x, *label, method):
        if method == "encode":
            self.x, (self.encoded,) = x, label
            mean = params["mean"] + 0.1 * x[:, 0, 0]
            return mean, jnp.broadcast_to(params["log_variance"], mean.shape)
        self.z, (self.label,) = x, label
        return (x @ WEIGHT[: x.shape[1]] + BIAS).reshape(-1, 2, 2, 1)


def config(**objective: object) -> VAE:
    return VAE(data=DataConfig(size=2), model=VAEConfig(latent=3), vae=VAEObjective(**objective))


def tensor(x: object) -> torch.Tensor:
    return torch.from_numpy(np.asarray(x).copy())


def posterior(x: object, params: dict = PARAMS) -> Normal:
    """q(z | x) as torch has it: [B, 3]."""
    mean = tensor(params["mean"]) + 0.1 * tensor(x)[:, 0, 0]
    return Normal(mean, (tensor(params["log_variance"]) / 2).exp().expand_as(mean))


def logits_of(z: object) -> torch.Tensor:
    z = z if isinstance(z, torch.Tensor) else tensor(z)
    return z @ torch.from_numpy(WEIGHT) + torch.from_numpy(BIAS)


FLAT = torch.from_numpy(PIXELS.reshape(6, 4))


def log_likelihood(kind: str, logits: torch.Tensor, sigma: float) -> torch.Tensor:
    """log p(x | z), [..., B]."""
    if kind == "gaussian":
        return Normal(torch.sigmoid(logits), sigma).log_prob(FLAT).sum(-1)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    return -cross_entropy(logits, FLAT.expand_as(logits), reduction="none").sum(-1)


PRIOR = Normal(torch.zeros(3), torch.ones(3))


@pytest.mark.parametrize("beta", [1.0, 0.0, 4.0])
@pytest.mark.parametrize(("kind", "sigma"), [("bernoulli", 0.1), ("gaussian", 0.1), ("gaussian", 0.7)])
def test_terms_of_the_bound_are_those_of_torch(kind, sigma, beta):
    recorder = Recorder()
    loss, terms = vae(config(likelihood=kind, sigma=sigma, beta=beta), recorder.network)(PARAMS, X0, LABEL, key=KEY)
    reconstruction = -log_likelihood(kind, logits_of(recorder.z), sigma).sum() / 6
    kl = kl_divergence(posterior(X0), PRIOR).sum() / 6
    assert float(terms["reconstruction"]) == pytest.approx(reconstruction.item(), rel=1e-5)
    assert float(terms["kl"]) == pytest.approx(kl.item(), rel=1e-5)
    assert float(loss) == pytest.approx((reconstruction + beta * kl).item(), rel=1e-5)


def test_bernoulli_reconstruction_is_the_summed_cross_entropy():
    recorder = Recorder()
    _, terms = vae(config(), recorder.network)(PARAMS, X0, LABEL, key=KEY)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    want = cross_entropy(logits_of(recorder.z), FLAT, reduction="sum").item() / 6
    assert float(terms["reconstruction"]) == pytest.approx(want, rel=1e-5)


def test_gradient_goes_through_the_sample():
    recorder = Recorder()
    loss = vae(config(beta=0.5), recorder.network)
    grads = jax.grad(lambda params: loss(params, X0, LABEL, key=KEY)[0])(PARAMS)
    loss(PARAMS, X0, LABEL, key=KEY)  # for the values of z, which were traced above
    at = posterior(X0)
    eps = (tensor(recorder.z) - at.mean) / at.stddev
    mean, log_variance = (tensor(PARAMS[name]).requires_grad_() for name in ("mean", "log_variance"))
    q = Normal(mean + 0.1 * tensor(X0)[:, 0, 0], (log_variance / 2).exp().expand(6, 3))
    objective = -log_likelihood("bernoulli", logits_of(q.mean + q.stddev * eps), 1) + 0.5 * kl_divergence(q, PRIOR).sum(
        1
    )
    objective.mean().backward()
    assert np.allclose(grads["mean"], mean.grad, atol=1e-5)
    assert np.allclose(grads["log_variance"], log_variance.grad, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 4])
def test_encoder_gets_the_class_of_each_image(samples):
    recorder, label = Recorder(), jnp.array([2, 0, 1, 1, 0, 2])
    vae(config(samples=samples), recorder.network)(PARAMS, X0, label, key=KEY)
    assert np.array_equal(recorder.encoded, label)
    assert np.array_equal(recorder.label, np.tile(label, samples))


def test_latents_are_sampled_from_the_posterior():
    recorder = Recorder()
    vae(config(), recorder.network)(PARAMS, jnp.zeros((50_000, 2, 2, 1)), jnp.zeros(50_000, int), key=KEY)
    z = np.asarray(recorder.z)
    assert np.abs(z.mean(0) - PARAMS["mean"]).max() < 0.03
    assert np.abs(z.std(0) - np.exp(np.asarray(PARAMS["log_variance"]) / 2)).max() < 0.03
    assert np.abs(np.corrcoef(z.T) - np.eye(3)).max() < 0.03


@pytest.mark.parametrize("free", [0.0, 0.1, 0.3, 5.0])
def test_free_bits_cost_no_less_than_they_are_and_give_no_gradient_there(free):
    network, settings = Recorder().network, config(free_bits=free, beta=2.0)
    (loss, terms), grads = jax.value_and_grad(vae(settings, network), has_aux=True)(PARAMS, X0, LABEL, key=KEY)
    kl = kl_divergence(posterior(X0), PRIOR).mean(0)  # [latent], about 0.3, 0.01 and 0.1
    assert float(loss - terms["reconstruction"]) == pytest.approx(2 * kl.clamp(min=free).sum().item(), rel=1e-4)
    assert float(terms["kl"]) == pytest.approx(kl.sum().item(), rel=1e-5)  # what it is, whatever it costs
    plain = jax.grad(lambda p: vae(settings, network)(p, X0, LABEL, key=KEY)[1]["reconstruction"])(PARAMS)
    moved = np.abs(np.asarray(grads["log_variance"] - plain["log_variance"])) > 1e-6
    assert moved.tolist() == (kl > free).tolist()


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_log_weights_are_those_of_torch(kind):
    recorder = Recorder()
    settings = config(likelihood=kind, sigma=0.3, samples=5)
    ours = log_weights(settings, recorder.network, PARAMS, jnp.asarray(PIXELS), jnp.arange(6), 5, key=KEY)
    z = tensor(recorder.z).reshape(5, 6, 3)
    joint = log_likelihood(kind, logits_of(z), 0.3) + PRIOR.log_prob(z).sum(-1)
    want = joint - posterior(X0).log_prob(z).sum(-1)
    assert ours.shape == (5, 6) and np.abs(np.asarray(ours) - want.numpy()).max() < 1e-4
    assert np.array_equal(recorder.label, np.tile(np.arange(6), 5))  # each sample is of its own image's class
    assert len(np.unique(np.asarray(recorder.z))) == 90


def test_importance_weighted_loss_is_the_mean_of_the_weights_in_the_exponent():
    recorder = Recorder()
    loss, terms = vae(config(samples=4), recorder.network)(PARAMS, X0, LABEL, key=KEY)
    z = tensor(recorder.z).reshape(4, 6, 3)
    joint = log_likelihood("bernoulli", logits_of(z), 1) + PRIOR.log_prob(z).sum(-1)
    weights = joint - posterior(X0).log_prob(z).sum(-1)
    assert float(loss) == pytest.approx(-weights.exp().mean(0).log().mean().item(), rel=1e-5)
    reconstruction = -log_likelihood("bernoulli", logits_of(z), 1).mean().item()
    kl = (posterior(X0).log_prob(z) - PRIOR.log_prob(z)).sum(-1).mean().item()
    assert float(terms["elbo"]) == pytest.approx(weights.mean().item(), rel=1e-5)
    assert float(terms["reconstruction"]) == pytest.approx(reconstruction, rel=1e-5)
    assert float(terms["kl"]) == pytest.approx(kl, rel=1e-4)


# ---- one latent dimension, where everything can be integrated

COUNT = 20_000  # copies of one image
# Wider than the true posterior, so that the weights have a small variance.
ONE = {"mean": jnp.array([0.2]), "log_variance": jnp.array([0.4])}
IMAGE = np.broadcast_to(np.array([1, 0, 1, 1], np.float32).reshape(1, 2, 2, 1), (COUNT, 2, 2, 1))


def integrated() -> tuple[float, float]:
    """The bound of one sample and log p(x) of that image, on a grid of z."""
    z = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    logits = z[:, None] * torch.from_numpy(WEIGHT[0]).double() + torch.from_numpy(BIAS).double()
    likelihood = Bernoulli(logits=logits).log_prob(tensor(IMAGE[0].reshape(4)).double()).sum(-1)
    prior, q = Normal(0.0, 1.0), Normal(0.2 + 0.1 * 1.0, np.exp(0.2))
    stride = float(z[1] - z[0])
    expected = float((q.log_prob(z).exp() * likelihood).sum()) * stride
    evidence = float((prior.log_prob(z) + likelihood).exp().sum()) * stride
    return expected - kl_divergence(q, prior).item(), float(np.log(evidence))


def test_bound_rises_with_its_samples_from_the_elbo_to_the_evidence():
    elbo, evidence = integrated()
    assert evidence - elbo > 0.05  # else this would show nothing

    def bound(samples: int) -> float:
        settings = VAE(data=DataConfig(size=2), model=VAEConfig(latent=1), vae=VAEObjective(samples=samples))
        loss = vae(settings, Recorder().network)
        return -float(loss(ONE, jnp.asarray(2 * IMAGE - 1), jnp.full(COUNT, -1), key=KEY)[0])

    bounds = [bound(samples) for samples in (1, 4, 40)]
    assert bounds[0] == pytest.approx(elbo, abs=0.01)  # about three standard errors
    assert all(b > a + 0.002 for a, b in pairwise(bounds))
    assert bounds[2] == pytest.approx(evidence, abs=0.01)


# ---- pixels


def test_binarised_pixels_have_their_value_as_their_mean():
    many = jnp.broadcast_to(PIXELS, (20_000, *PIXELS.shape))
    drawn = np.asarray(binarized(many, key=KEY))
    assert set(np.unique(drawn)) == {0, 1} and drawn.dtype == np.float32
    assert np.abs(drawn.mean(0) - PIXELS).max() < 0.015  # four standard errors
    assert np.array_equal(binarized(jnp.array([0.0, 1.0]), key=KEY), [0, 1])


def test_dynamic_binarisation_is_of_what_is_encoded_and_of_what_is_scored():
    recorder = Recorder()
    loss = vae(config(binarization="dynamic"), recorder.network)
    _, terms = loss(PARAMS, X0, LABEL, key=KEY)
    black_or_white = np.asarray(recorder.x)
    assert set(np.unique(black_or_white)) == {-1, 1}
    want = -Bernoulli(logits=logits_of(recorder.z)).log_prob(tensor(black_or_white > 0).reshape(6, 4).float()).sum() / 6
    assert float(terms["reconstruction"]) == pytest.approx(want.item(), rel=1e-5)
    loss(PARAMS, X0, LABEL, key=jax.random.key(8))
    assert not np.array_equal(recorder.x, black_or_white)  # afresh each time


def test_without_binarisation_images_are_encoded_as_they_are():
    recorder = Recorder()
    vae(config(), recorder.network)(PARAMS, X0, LABEL, key=KEY)
    assert np.allclose(recorder.x, X0, atol=1e-6)
