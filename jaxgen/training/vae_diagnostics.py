"""Diagnostics of a VAE in training: reconstructions, latents, and posterior collapse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgen.config import VAEObjective
from jaxgen.images import grid, side_by_side, to_uint8
from jaxgen.models.network import Params
from jaxgen.plots import latent_scatter
from jaxgen.training.diagnostics import DiagnosticReport, Subject, watch_samples
from jaxgen.training.vae import ACTIVE, kl_divergence

RECONSTRUCTIONS = 32  # images of the grid
MOST_DIMENSIONS = 64  # latent dimensions whose KL is logged one by one


def watch_vae(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """Samples, reconstructions below their originals, a plot of 2-D latents, and a warning of posterior collapse."""
    config: Any = subject.config
    report = watch_samples(subject, params, metrics)
    if subject.test is None:
        return report
    images, labels = subject.test
    mean, log_variance = subject.encode(params, images, labels)
    reconstruction = subject.apply(params, mean[:RECONSTRUCTIONS], jnp.asarray(labels[:RECONSTRUCTIONS]))
    rows = side_by_side(8, images[:RECONSTRUCTIONS], to_uint8(np.asarray(reconstruction)))
    report.images["reconstructions"] = grid(rows.reshape(-1, *images.shape[1:]), columns=8)
    latent = mean.shape[1]
    if latent == 2:
        report.images["latents"] = latent_scatter(mean, labels)
    kl = np.asarray(kl_divergence(jnp.asarray(mean), jnp.asarray(log_variance)).mean(0))
    active = int((mean.var(0) > ACTIVE).sum())
    report.scalars.update({f"kl_of_dimension/{i:02d}": float(nats) for i, nats in enumerate(kl[:MOST_DIMENSIONS])})
    report.scalars["active_units"] = float(active)
    if active <= max(latent // 4, min(latent - 1, 1)):  # a quarter; of a few dimensions, one
        report.warnings["posterior collapse"] = (
            f"posterior collapse: {active} of {latent} latent dimensions carry information about the image; "
            f"{against_collapse(config.vae)}, or start a run with fewer dimensions (model.latent)"
        )
    return report


def against_collapse(objective: VAEObjective) -> str:
    """The settings that make more latent dimensions informative."""
    if objective.samples > 1:  # the importance-weighted bounds use neither setting
        return "set vae.samples=1 and vae.free_bits=0.1"
    return f"lower vae.beta, or set vae.free_bits={2 * objective.free_bits or 0.1:g}"
