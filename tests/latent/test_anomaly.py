"""Anomaly scores, against scipy's distributions and a linear VAE worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import log_loss

from jaxgen.latent.anomaly import bernoulli, gaussian, heat, kl_divergence, score, three_rows


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    return rng.uniform(size=(3, 2, 2, 1)), rng.uniform(0.05, 0.95, size=(3, 2, 2, 1))


def test_bernoulli_is_the_cross_entropy_of_a_coin_each_pixel(pixels):
    x, p = pixels
    black_or_white = (x > 0.5).astype(float)
    for i, cost in enumerate(bernoulli(black_or_white, p, 0.1)):
        assert cost == pytest.approx(log_loss(black_or_white[i].ravel(), p[i].ravel(), labels=[0, 1], normalize=False))
    halves = 0.3 * bernoulli(np.ones_like(p), p, 0.1) + 0.7 * bernoulli(np.zeros_like(p), p, 0.1)
    np.testing.assert_allclose(bernoulli(np.full_like(p, 0.3), p, 0.1), halves)  # linear in the pixels


def test_bernoulli_of_a_pixel_rounded_to_black_is_finite():
    one, zero = np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1))
    assert bernoulli(one, zero, 0.1)[0] == pytest.approx(np.log(510))
    assert bernoulli(zero, one, 0.1)[0] == pytest.approx(np.log(510))


def test_gaussian_is_scipys_log_density(pixels):
    x, mean = pixels
    np.testing.assert_allclose(gaussian(x, mean, 0.2), -norm(mean, 0.2).logpdf(x).sum((1, 2, 3)))


def test_kl_is_torchs():
    mean, log_variance = np.random.default_rng(0).standard_normal((2, 4, 3))
    q = torch.distributions.Normal(torch.tensor(mean), torch.tensor(np.exp(log_variance / 2)))
    want = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    np.testing.assert_allclose(kl_divergence(mean, log_variance), want)


def test_heat_is_red_where_images_differ_and_grey_elsewhere():
    image, again = np.array([0, 255, 100], np.uint8), np.array([255, 255, 49], np.uint8)
    row = heat(image.reshape(1, 1, 3, 1), again.reshape(1, 1, 3, 1))[0, 0]
    assert row.tolist() == [[255, 0, 0], [255, 255, 255], [131, 80, 80]]  # a fifth of red: 0.8 * 100 + 0.2 * 255


class Linear:
    """A VAE of one pixel whose code is twice the pixel, of variance 1 / 4; decoded to half the code, rounded."""

    def __init__(self, likelihood):
        said = SimpleNamespace(likelihood=SimpleNamespace(kind=likelihood, sigma=0.5))
        self.reader = SimpleNamespace(artifact=SimpleNamespace(path="linear.onnx"), inference=said)

    def posterior(self, images, label):
        mean = 2 * (images.reshape(-1, 1) / np.float32(255))
        return mean, np.full_like(mean, np.log(0.25))

    def decode(self, latents, label):
        return np.rint(latents / 2 * 255).astype(np.uint8).reshape(-1, 1, 1, 1)


def test_score_of_a_linear_vae_is_what_comes_out_by_hand():
    images = np.array([0, 51, 255], np.uint8).reshape(-1, 1, 1, 1)
    found = score(Linear("gaussian"), images, None)
    np.testing.assert_array_equal(found.decoded, images)
    np.testing.assert_allclose(found.reconstruction, np.log(0.5) + 0.5 * np.log(2 * np.pi), rtol=1e-6)
    np.testing.assert_allclose(found.kl, 0.5 * (np.array([0, 0.16, 4]) + 0.25 - 1 + np.log(4)), rtol=1e-6)
    np.testing.assert_allclose(found.total, found.reconstruction + found.kl)
    entropy = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    assert score(Linear("bernoulli"), images, None).reconstruction[1] == pytest.approx(entropy)


def test_three_rows_stand_above_each_other():
    images = np.zeros((3, 1, 1, 1), np.uint8)
    rows = three_rows(images, images + 255, columns=2)
    assert rows[..., 0, 0, :].tolist()[:3] == [[[0] * 3] * 2, [[255] * 3] * 2, [[255, 0, 0]] * 2]
    assert rows[3:, 1, 0, 0].tolist() == [[128] * 3] * 3  # there is no fourth image
