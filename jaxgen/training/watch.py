"""What to show of a run in progress, and what to warn of: one function a kind of model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from jaxgen.charts import latent_scatter
from jaxgen.images import grid, to_uint8, to_unit
from jaxgen.models.network import Params
from jaxgen.training.vae import ACTIVE, kl_divergence

if TYPE_CHECKING:
    from jaxgen.training.monitor import Monitor

RECONSTRUCTIONS = 32  # pictures of the grid
MOST_DIMENSIONS = 64  # whose KL is logged one by one


@dataclass(frozen=True)
class Seen:
    """pictures: uint8 [H, W, C] by name, 'samples' first among them; warnings: what is wrong and what to change."""

    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


Watch = Callable[["Monitor", Params, Mapping[str, float]], Seen]  # (monitor, weights, newest metrics)


def watch_nothing(monitor: Monitor, params: Params, metrics: Mapping[str, float]) -> Seen:
    """Of a model that draws nothing."""
    return Seen()


def watch_samples(monitor: Monitor, params: Params, metrics: Mapping[str, float]) -> Seen:
    """The first pictures of seed 0, always the same ones."""
    return Seen(pictures={"samples": grid(monitor.draw(params))})


def watch_vae(monitor: Monitor, params: Params, metrics: Mapping[str, float]) -> Seen:
    """Samples, reconstructions above what they are of, the latent plane if it is one, and dimensions that say nothing."""
    seen = watch_samples(monitor, params, metrics)
    if monitor.test is None:
        return seen
    images, labels = monitor.test
    mean, log_variance = monitor.apply(params, to_unit(images), method="encode")
    again = monitor.apply(params, mean[:RECONSTRUCTIONS], jnp.asarray(labels[:RECONSTRUCTIONS]))
    pairs = np.stack([images[:RECONSTRUCTIONS], to_uint8(np.asarray(again))], axis=1)  # [N, 2, H, W, C]
    rows = pairs.reshape(-1, 8, *pairs.shape[1:]).swapaxes(1, 2)  # eight originals, then their reconstructions
    seen.pictures["reconstructions"] = grid(rows.reshape(-1, *pairs.shape[2:]), columns=8)
    latent = mean.shape[1]
    if latent == 2:
        seen.pictures["latents"] = latent_scatter(np.asarray(mean), labels)
    kl = np.asarray(kl_divergence(mean, log_variance).mean(0))
    active = int((np.asarray(mean).var(0) > ACTIVE).sum())
    seen.scalars.update({f"kl_of_dimension/{i:02d}": float(nats) for i, nats in enumerate(kl[:MOST_DIMENSIONS])})
    seen.scalars["active_units"] = float(active)
    if active <= latent // 4:
        seen.warnings.append(
            f"posterior collapse: {active} of {latent} latent dimensions say anything of the picture; "
            "lower vae.beta, or set vae.free_bits (0.1 is usual), or model.latent to fewer"
        )
    return seen


def watch_gan(monitor: Monitor, params: Params, metrics: Mapping[str, float]) -> Seen:
    """Samples, and whether one side wins or the generator draws too much of one thing."""
    pictures = monitor.draw(params)
    seen = Seen(pictures={"samples": grid(pictures)})
    if monitor.test is not None and len(pictures) > 1:
        seen.scalars["diversity"] = spread(pictures) / max(spread(monitor.test[0][: len(pictures)]), 1e-9)
        if seen.scalars["diversity"] < 0.5:
            seen.warnings.append(
                f"mode collapse: samples differ from each other {seen.scalars['diversity']:.0%} as much as real pictures"
                " do; lower training.lr, or try gan.loss=hinge, or raise model.dropout"
            )
    if monitor.config.gan.loss == "non-saturating":  # elsewhere D gives scores, not beliefs
        seen.warnings.extend(imbalance(metrics))
    if monitor.judge:
        shares, right = monitor.judge(pictures)
        seen.scalars.update({f"class_share/{i}": float(share) for i, share in enumerate(shares)})
        if right is not None:
            seen.scalars["drawn_as_asked"] = right
        if missing := [str(i) for i, share in enumerate(shares) if share < 0.1 / len(shares)]:
            seen.warnings.append(
                f"mode collapse: the classifier sees hardly any of class {', '.join(missing)} among "
                f"{len(pictures)} samples; lower training.lr, or try gan.loss=hinge, or raise model.dropout"
            )
    return seen


def spread(pictures: np.ndarray) -> float:
    """Mean distance between pictures that follow each other, per pixel: uint8 [N, H, W, C]."""
    unit = pictures.astype(np.float32)
    return float(np.abs(unit[1:] - unit[:-1]).mean())


def imbalance(metrics: Mapping[str, float]) -> list[str]:
    """A warning if one side of the game has won: D(real) and D(fake) far apart, or the same by far."""
    real, fake = metrics.get("real"), metrics.get("fake")
    if real is None or fake is None:
        return []
    if real > 0.97 and fake < 0.03:
        return [
            f"the discriminator wins (D(real) {real:.2f}, D(fake) {fake:.2f}), so the generator learns little: "
            "lower gan.discriminator_lr, or raise model.dropout"
        ]
    if real < 0.45 and fake > 0.55:
        return [
            f"the generator wins (D(real) {real:.2f}, D(fake) {fake:.2f}): raise gan.discriminator_lr, "
            "or lower model.dropout, or set gan.critic_steps=2"
        ]
    return []
