"""The objective of a VAE: the evidence lower bound, or the importance-weighted one, in nats per image."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxgen.config import VAE, VAEObjective
from jaxgen.models.network import Network, Params
from jaxgen.training.train_step import Loss, Metrics

LOG_TWO_PI = math.log(2 * math.pi)
ACTIVE = 0.01  # variance of a latent dimension's mean over the data, below which it is inactive (Burda et al. 2016)


def bernoulli(logits: Array, pixels: Array, objective: VAEObjective) -> Array:
    """log p(x | z), summed over pixels: the negative cross entropy; pixels [..., H, W, C] in [0, 1] -> [...]."""
    return (pixels * logits - jax.nn.softplus(logits)).sum((-3, -2, -1))


def gaussian(logits: Array, pixels: Array, objective: VAEObjective) -> Array:
    """log p(x | z) around the sigmoid of the logits, with deviation `vae.sigma`."""
    z = (pixels - jax.nn.sigmoid(logits)) / objective.sigma
    return -(0.5 * (z * z + LOG_TWO_PI) + math.log(objective.sigma)).sum((-3, -2, -1))


LIKELIHOODS: dict[str, Callable[[Array, Array, VAEObjective], Array]] = {"bernoulli": bernoulli, "gaussian": gaussian}


def kl_divergence(mean: Array, log_variance: Array) -> Array:
    """KL of q(z | x) from the standard normal, each dimension: [B, latent] (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean * mean + jnp.exp(log_variance) - 1 - log_variance)


def log_normal(z: Array, mean: Array, log_variance: Array) -> Array:
    """Log density of a diagonal normal, summed over the last axis."""
    return -0.5 * ((z - mean) ** 2 * jnp.exp(-log_variance) + log_variance + LOG_TWO_PI).sum(-1)


def binarized(pixels: Array, *, key: Array) -> Array:
    """Each pixel is 1 with its value as the probability (Salakhutdinov & Murray 2008)."""
    return jax.random.bernoulli(key, pixels).astype(pixels.dtype)


def log_terms(
    config: VAE, network: Network, params: Params, pixels: Array, label: Array, samples: int, *, key: Array
) -> tuple[Array, Array]:
    """log p(x | z) and log q(z | x) - log p(z), whose mean is the KL, for z drawn from q: both [samples, B]."""
    mean, log_variance = network.apply(params, 2 * pixels - 1, label, method="encode")
    eps = jax.random.normal(key, (samples, *mean.shape))
    z = mean + jnp.exp(log_variance / 2) * eps  # [samples, B, latent]
    labels = jnp.broadcast_to(label, z.shape[:2]).reshape(-1)
    logits = network.apply(params, z.reshape(-1, z.shape[-1]), labels, method="decode")
    likelihood = LIKELIHOODS[config.vae.likelihood](logits.reshape(samples, *pixels.shape), pixels, config.vae)
    return likelihood, log_normal(z, mean, log_variance) - log_normal(z, jnp.zeros(()), jnp.zeros(()))


def log_weights(
    config: VAE, network: Network, params: Params, pixels: Array, label: Array, samples: int, *, key: Array
) -> Array:
    """log p(x, z) - log q(z | x) for z drawn from q: [samples, B] (Burda et al. 2016, equation 8)."""
    likelihood, kl = log_terms(config, network, params, pixels, label, samples, key=key)
    return likelihood - kl


def vae(config: VAE, network: Network) -> Loss:
    """Reconstruction plus weighted KL, summed over pixels and dimensions, mean over images.

    With `vae.samples` > 1, the importance-weighted bound (Burda et al. 2016, equation 8).
    """
    objective = config.vae
    likelihood = LIKELIHOODS[objective.likelihood]

    def elbo(params: Params, pixels: Array, label: Array, *, key: Array) -> tuple[Array, Metrics]:
        mean, log_variance = network.apply(params, 2 * pixels - 1, label, method="encode")
        z = mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape)
        reconstruction = -likelihood(network.apply(params, z, label, method="decode"), pixels, objective).mean()
        kl = kl_divergence(mean, log_variance).mean(0)  # [latent]
        # Free bits apply to the mean over the batch, as in Kingma et al. 2016 (appendix C.8).
        cost = objective.beta * jnp.maximum(kl, objective.free_bits).sum()
        return reconstruction + cost, {"reconstruction": reconstruction, "kl": kl.sum()}

    def weighted(params: Params, pixels: Array, label: Array, *, key: Array) -> tuple[Array, Metrics]:
        likelihood, kl = log_terms(config, network, params, pixels, label, objective.samples, key=key)
        bound = jax.nn.logsumexp(likelihood - kl, axis=0) - math.log(objective.samples)
        terms = {"reconstruction": -likelihood.mean(), "kl": kl.mean(), "elbo": (likelihood - kl).mean()}
        return -bound.mean(), terms

    def loss(params: Params, x0: Array, label: Array, *, key: Array, train: bool = True) -> tuple[Array, Metrics]:
        """x0: [B, H, W, C] in [-1, 1]; label: [B] int."""
        pixel_key, z_key = jax.random.split(key)
        pixels = (x0 + 1) / 2
        if objective.binarization == "dynamic":
            pixels = binarized(pixels, key=pixel_key)
        return (elbo if objective.samples == 1 else weighted)(params, pixels, label, key=z_key)

    return loss
