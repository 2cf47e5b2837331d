"""Bounds of the likelihood, against densities that scipy has or integrates."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from jaxgen.evaluation import likelihood
from jaxgen.evaluation.likelihood import Autoencoder, bounds

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 2, 3, 1), np.uint8)
SIGMA = 0.3


def linear_gaussian(weight, offset, spread=1.0):
    """x = weight z + offset + noise, whose posterior is known; spread: of q, in units of the posterior's deviation.

    The columns of `weight` are orthogonal, so that the posterior is diagonal.
    """
    precision = 1 + (weight**2).sum(0) / SIGMA**2

    def encode(images, label):
        x = images.reshape(len(images), -1) / 255
        mean = (x - offset) @ weight / SIGMA**2 / precision
        return mean, np.broadcast_to(np.log(spread**2 / precision), mean.shape)

    def decode(z, label):
        return (z @ weight.T + offset).reshape(-1, 2, 3, 1)

    return Autoencoder(encode=encode, decode=decode, likelihood="gaussian", sigma=SIGMA)


@pytest.fixture(scope="module")
def linear():
    weight = np.linalg.qr(RNG.standard_normal((6, 2)))[0] * [0.5, 0.2]
    return weight, RNG.random(6)


def marginal(linear):
    weight, offset = linear
    x = IMAGES.reshape(7, 6) / 255
    return scipy.stats.multivariate_normal(offset, weight @ weight.T + SIGMA**2 * np.eye(6)).logpdf(x)


@pytest.mark.parametrize("rows", [1024, 5])
def test_bounds_are_the_likelihood_itself_where_the_posterior_is_exact(linear, monkeypatch, rows):
    monkeypatch.setattr(likelihood, "ROWS", rows)
    told = []
    found = bounds(linear_gaussian(*linear), IMAGES, None, samples=3, tell=told.append)
    np.testing.assert_allclose(found.elbo, marginal(linear), atol=1e-4)
    np.testing.assert_allclose(found.log_likelihood, marginal(linear), atol=1e-4)
    assert told[-1] == 7 and told == sorted(told)


def test_bounds_of_a_poor_posterior_are_below_by_its_divergence(linear):
    found = bounds(linear_gaussian(*linear, spread=2.0), IMAGES, None, samples=4000)
    divergence = 2 * (4 / 2 - 0.5 - np.log(2))  # of two dimensions whose deviation is twice the posterior's
    np.testing.assert_allclose(found.elbo, marginal(linear) - divergence, atol=0.2)
    np.testing.assert_allclose(found.log_likelihood, marginal(linear), atol=0.1)


def bernoulli(shift=0.0):
    def encode(images, label):
        return np.zeros((len(images), 1)), np.zeros((len(images), 1))

    def decode(z, label):
        logits = z * np.linspace(-1, 1, 6) + (shift if label is None else shift * label[:, None])
        return 1 / (1 + np.exp(-logits)).reshape(-1, 2, 3, 1)

    return encode, decode


def test_bernoulli_likelihood_is_what_scipy_integrates():
    encode, decode = bernoulli()
    model = Autoencoder(encode=encode, decode=decode, likelihood="bernoulli")
    black_and_white = np.where(IMAGES > 128, 255, 0).astype(np.uint8)
    found = bounds(model, black_and_white, None, samples=20_000)
    for image, value in zip(black_and_white, found.log_likelihood, strict=True):
        white = image.reshape(-1) == 255

        def joint(z, white=white):
            p = decode(np.array([[z]]), None).reshape(-1)
            return scipy.stats.bernoulli.pmf(white, p).prod() * scipy.stats.norm.pdf(z)

        want, _ = scipy.integrate.quad(joint, -10, 10)
        assert value == pytest.approx(np.log(want), abs=0.02)


def test_each_sample_is_decoded_with_its_own_images_class():
    def encode(images, label):
        return np.zeros((len(images), 1)), np.full((len(images), 1), -20.0)  # z is 0, within 1e-4

    model = Autoencoder(encode=encode, decode=bernoulli(shift=3.0)[1], likelihood="bernoulli")
    labels = np.arange(7) % 3
    found = bounds(model, IMAGES, labels, samples=50)  # so few that all images are decoded at once
    p = 1 / (1 + np.exp(-3.0 * labels[:, None]))
    x = IMAGES.reshape(7, 6) / 255
    want = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1) + 0.5 * (1 - 20)
    np.testing.assert_allclose(found.elbo, want, atol=0.5)  # 0.1 of it by chance; another class is 2 off or more
    assert min(abs(want[i] - want[j]) for i in range(7) for j in range(i) if labels[i] != labels[j]) > 1


def test_certain_pixels_cost_what_float32_can_tell():
    certain = np.array([0.0, 1.0])
    assert likelihood.bernoulli(np.array([0.0, 1.0]), certain, 1.0) == pytest.approx(0, abs=1e-6)
    wrong = likelihood.bernoulli(np.array([1.0, 1.0]), certain, 1.0)
    assert wrong == pytest.approx(-25 * np.log(2), abs=1e-3)


def test_binarised_images_are_black_and_white_as_often_as_they_are_grey():
    seen = []

    def encode(images, label):
        seen.append(images)
        return np.zeros((len(images), 1)), np.zeros((len(images), 1))

    model = Autoencoder(encode=encode, decode=bernoulli()[1], likelihood="bernoulli", binarized=True)
    grey = np.full((500, 2, 3, 1), 51, np.uint8)
    bounds(model, grey, None, samples=1)
    pixels = np.concatenate(seen)
    assert set(np.unique(pixels)) == {0, 255} and (pixels == 255).mean() == pytest.approx(0.2, abs=0.03)
