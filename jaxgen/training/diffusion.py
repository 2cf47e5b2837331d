"""The objectives of a UNet, diffusion and flow matching: a scalar loss for a batch of images, pure given its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.config import DDPM, DiffusionConfig, Flow
from jaxgen.errors import lookup
from jaxgen.models.network import Network, Params
from jaxgen.sampling.plan import SIGMA_DATA
from jaxgen.sampling.sampler_spec import schedule_of
from jaxgen.training.train_step import Loss, Metrics, Predictor


def q_sample(x0: Array, t: Array, eps: Array, alpha_bar: Array) -> Array:
    """x_t given x_0 (Ho et al. 2020, equation 4). x0, eps: [B, H, W, C]; t: [B] int in [0, T); alpha_bar: [T]."""
    a = alpha_bar[t][:, None, None, None]  # [B, 1, 1, 1]
    return jnp.sqrt(a) * x0 + jnp.sqrt(1 - a) * eps


@dataclass(frozen=True)
class Prediction:
    """target(x0, eps, a): the network's target, with a = alpha_bar at its timestep; weight(snr): the factor from its
    squared error to that of x0 (Hang et al. 2023, section 3.4)."""

    target: Callable[[Array, Array, Array], Array]
    weight: Callable[[np.ndarray], np.ndarray]


def _edm_target(x0: Array, eps: Array, a: Array) -> Array:
    """Derived in `jaxgen.sampling.plan`, whose columns have x0 back from it; its variance is 1 at every timestep."""
    deviation = jnp.sqrt(a * SIGMA_DATA**2 + 1 - a)
    return (jnp.sqrt(1 - a) * x0 / SIGMA_DATA - jnp.sqrt(a) * SIGMA_DATA * eps) / deviation


PREDICTIONS: dict[str, Prediction] = {
    "eps": Prediction(lambda x0, eps, a: eps, lambda snr: 1 / snr),
    "x0": Prediction(lambda x0, eps, a: x0, np.ones_like),
    # Salimans & Ho 2022, appendix D
    "v": Prediction(lambda x0, eps, a: jnp.sqrt(a) * eps - jnp.sqrt(1 - a) * x0, lambda snr: 1 / (snr + 1)),
    "edm": Prediction(_edm_target, lambda snr: 1 / (snr + 1 / SIGMA_DATA**2)),
}


def target(prediction: str, x0: Array, t: Array, eps: Array, alpha_bar: Array) -> Array:
    """The network's target at timesteps t [B]; x0, eps: [B, H, W, C]; prediction: a key of PREDICTIONS."""
    a = alpha_bar[t][:, None, None, None]  # [B, 1, 1, 1]
    return lookup(PREDICTIONS, prediction, "prediction").target(x0, eps, a)


def loss_weights(diffusion: DiffusionConfig) -> np.ndarray:
    """Weight of the squared error at each timestep: [T] float64.

    simple: 1 for every prediction. min-snr: min(SNR, gamma) on the error of x0, converted to the predicted quantity
    (Hang et al. 2023, section 3.4).
    """
    a = schedule_of(diffusion.process)
    if diffusion.weighting == "simple":
        return np.ones_like(a)
    snr = a / (1 - a)
    return np.minimum(snr, diffusion.min_snr_gamma) * PREDICTIONS[diffusion.prediction].weight(snr)


def log_noise_levels(diffusion: DiffusionConfig) -> np.ndarray:
    """ln sigma at each timestep, never decreasing: [T] float64; sigma is the deviation of noise relative to the image.

    Source: Karras et al. 2022, Table 1.
    """
    a = schedule_of(diffusion.process)
    return np.log((1 - a) / a) / 2


def uniform(key: Array, shape: tuple[int, ...], log_sigma: np.ndarray) -> Array:
    return jax.random.randint(key, shape, 0, len(log_sigma))


def logit_normal(key: Array, shape: tuple[int, ...], log_sigma: np.ndarray) -> Array:
    """t / T is the sigmoid of a standard normal (Esser et al. 2024, section 3.1)."""
    share = jax.nn.sigmoid(jax.random.normal(key, shape))
    return jnp.minimum((share * len(log_sigma)).astype(int), len(log_sigma) - 1)


def log_normal(key: Array, shape: tuple[int, ...], log_sigma: np.ndarray) -> Array:
    """The timesteps nearest to noise levels whose logarithm is normal (Karras et al. 2022, Table 1)."""
    drawn = -1.2 + 1.2 * jax.random.normal(key, shape)
    return jnp.searchsorted(jnp.asarray((log_sigma[1:] + log_sigma[:-1]) / 2, jnp.float32), drawn)


# The distributions of training timesteps in 0 ... T - 1: sampler(key, shape, ln sigma of each [T]).
TIMESTEPS: dict[str, Callable[[Array, tuple[int, ...], np.ndarray], Array]] = {
    "uniform": uniform,
    "logit-normal": logit_normal,
    "log-normal": log_normal,
}


def drop_labels(label: Array, share: float, *, key: Array) -> Array:
    """Labels [B], each replaced by the null class with probability `share` (Ho & Salimans 2022, algorithm 1)."""
    return jnp.where(jax.random.bernoulli(key, share, label.shape), -1, label)


def _network_labels(config: DDPM | Flow, label: Array, *, key: Array, train: bool) -> Array:
    """The network's input labels: in training, some are replaced by the null class."""
    drops = train and config.model.classes
    return drop_labels(label, config.model.label_dropout, key=key) if drops else label


def ddpm(config: DDPM, network: Network, teacher: Predictor | None = None) -> Loss:
    """Weighted mean squared error of the prediction at random timesteps (Ho et al. 2020, equation 14).

    teacher: in training, its prediction replaces the true target (Hinton et al. 2015).
    """
    diffusion = config.diffusion
    alpha_bar = jnp.asarray(schedule_of(diffusion.process), jnp.float32)
    weights = jnp.asarray(loss_weights(diffusion), jnp.float32)
    log_sigma = log_noise_levels(diffusion)

    def loss(params: Params, x0: Array, label: Array, *, key: Array, train: bool = True) -> tuple[Array, Metrics]:
        """x0: [B, H, W, C] in [-1, 1]; label: [B] int, -1 for none."""
        t_key, eps_key, label_key, dropout_key = jax.random.split(key, 4)
        t = TIMESTEPS[diffusion.times](t_key, x0.shape[:1], log_sigma)
        eps = jax.random.normal(eps_key, x0.shape, x0.dtype)
        x_t = q_sample(x0, t, eps, alpha_bar)
        label = _network_labels(config, label, key=label_key, train=train)
        out = network.apply(params, x_t, t, label, key=dropout_key if train and config.model.dropout else None)
        true = target(diffusion.prediction, x0, t, eps, alpha_bar)
        expected = teacher(x_t, t, label) if train and teacher else true
        error = jnp.square(out - expected).mean((1, 2, 3))  # [B]
        return (weights[t] * error).mean(), {}

    return loss


# The distributions of training times in (0, 1): sampler(key, shape).
TIMES: dict[str, Callable[..., Array]] = {
    "uniform": jax.random.uniform,
    "logit-normal": lambda key, shape: jax.nn.sigmoid(jax.random.normal(key, shape)),
}


def flow(config: Flow, network: Network, teacher: Predictor | None = None) -> Loss:
    """Mean squared error of the velocity eps - x0 on the straight path between them (Liu et al. 2023, equation 1).

    teacher: as in `ddpm`.
    """

    def loss(params: Params, x0: Array, label: Array, *, key: Array, train: bool = True) -> tuple[Array, Metrics]:
        """x0: [B, H, W, C] in [-1, 1]; label: [B] int, -1 for none."""
        t_key, eps_key, label_key, dropout_key = jax.random.split(key, 4)
        t = TIMES[config.flow.times](t_key, x0.shape[:1])
        eps = jax.random.normal(eps_key, x0.shape, x0.dtype)
        x_t = x0 + t[:, None, None, None] * (eps - x0)
        label, timestep = _network_labels(config, label, key=label_key, train=train), t * config.flow.time_scale
        out = network.apply(params, x_t, timestep, label, key=dropout_key if train and config.model.dropout else None)
        velocity = teacher(x_t, timestep, label) if train and teacher else eps - x0
        return jnp.square(out - velocity).mean(), {}

    return loss
