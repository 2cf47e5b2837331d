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


PREDICTIONS: dict[str, Prediction] = {
    "eps": Prediction(lambda x0, eps, a: eps, lambda snr: 1 / snr),
    "x0": Prediction(lambda x0, eps, a: x0, np.ones_like),
    # Salimans & Ho 2022, appendix D
    "v": Prediction(lambda x0, eps, a: jnp.sqrt(a) * eps - jnp.sqrt(1 - a) * x0, lambda snr: 1 / (snr + 1)),
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


def drop_labels(label: Array, share: float, *, key: Array) -> Array:
    """Labels [B], each replaced by the null class with probability `share` (Ho & Salimans 2022, algorithm 1)."""
    return jnp.where(jax.random.bernoulli(key, share, label.shape), -1, label)


def _network_labels(config: DDPM | Flow, label: Array, *, key: Array, train: bool) -> Array:
    """The network's input labels: in training, some are replaced by the null class."""
    drops = train and config.model.classes
    return drop_labels(label, config.model.label_dropout, key=key) if drops else label


def ddpm(config: DDPM, network: Network, teacher: Predictor | None = None) -> Loss:
    """Weighted mean squared error of the prediction at uniform timesteps (Ho et al. 2020, equation 14).

    teacher: in training, its prediction replaces the true target (Hinton et al. 2015).
    """
    diffusion = config.diffusion
    alpha_bar = jnp.asarray(schedule_of(diffusion.process), jnp.float32)
    weights = jnp.asarray(loss_weights(diffusion), jnp.float32)

    def loss(params: Params, x0: Array, label: Array, *, key: Array, train: bool = True) -> tuple[Array, Metrics]:
        """x0: [B, H, W, C] in [-1, 1]; label: [B] int, -1 for none."""
        t_key, eps_key, label_key, dropout_key = jax.random.split(key, 4)
        t = jax.random.randint(t_key, x0.shape[:1], 0, diffusion.steps)
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
