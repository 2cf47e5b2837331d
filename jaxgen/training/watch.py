"""What to show of a run in progress, and what to warn of: one function a kind of model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from jaxgen.charts import latent_scatter
from jaxgen.images import grid, to_uint8, to_unit
from jaxgen.models.network import Params
from jaxgen.training.gan import GAMES
from jaxgen.training.vae import ACTIVE, kl_divergence

if TYPE_CHECKING:
    from jaxgen.training.monitor import Monitor

RECONSTRUCTIONS = 32  # pictures of the grid
MOST_DIMENSIONS = 64  # whose KL is logged one by one
SETTLED = 500  # steps of a GAN before which nothing is wrong yet: an untrained generator draws one grey
JUDGED = 500  # pictures that a classifier looks at: of ten equal classes each is among them, of 64 not always
COLLAPSE = "lower training.lr, or try gan.loss=hinge, or raise model.dropout"


@dataclass(frozen=True)
class Seen:
    """pictures: uint8 [H, W, C] by name, 'samples' first among them; warnings: what is wrong and what to change."""

    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


Watch = Callable[["Monitor", Params, Mapping[str, float]], Seen]  # (monitor, weights, newest metrics and their "step")


def watch_nothing(monitor: Monitor, params: Params, metrics: Mapping[str, float]) -> Seen:
    """Of a model that draws nothing."""
    return Seen()


def watch_samples(monitor: Monitor, params: Params, metrics: Mapping[str, float]) -> Seen:
    """The first pictures of seed 0, always the same ones."""
    return Seen(pictures={"samples": grid(monitor.draw(params))})


def watch_vae(monitor: Monitor, params: Params, metrics: Mapping[str, float]) -> Seen:
    """Samples, reconstructions below what they are of, the latent plane if it is one, dimensions that say nothing."""
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
    config: Any = monitor.config
    count = config.training.sample_count
    pictures = monitor.draw(params, max(count, JUDGED) if monitor.judge else count)
    seen = Seen(pictures={"samples": grid(pictures[:count])})
    warnings = [*imbalance(metrics)] if GAMES[config.gan.loss].beliefs else []
    if monitor.test is not None:
        labels = np.arange(len(pictures)) % config.classes if config.classes else None
        images, classes = monitor.test
        ours, real = spread(pictures, labels), spread(images, classes if config.classes else None)
        if ours is not None and real:
            seen.scalars["diversity"] = ours / real
            warnings += sameness(ours / real)
    if monitor.judge:
        shares, right = monitor.judge(pictures)
        seen.scalars.update({f"class_share/{i}": float(share) for i, share in enumerate(shares)})
        warnings += missing(shares, len(pictures), config.data.without)
        if right is not None:
            seen.scalars["drawn_as_asked"] = right
    if metrics.get("step", SETTLED) >= SETTLED:
        seen.warnings.extend(warnings)
    return seen


def spread(pictures: np.ndarray, labels: np.ndarray | None = None) -> float | None:
    """Mean distance per pixel between pictures that follow each other, each with the next of its class if classes are
    given: uint8 [N, H, W, C], [N]; None where no two can be compared."""
    classes = np.zeros(len(pictures), int) if labels is None else labels
    order = np.argsort(classes, kind="stable")
    same = classes[order[1:]] == classes[order[:-1]]
    unit = pictures[order].astype(np.float32)
    return float(np.abs(unit[1:] - unit[:-1])[same].mean()) if same.any() else None


def sameness(diversity: float) -> list[str]:
    """A warning if samples are too much alike; diversity: their spread over that of real pictures."""
    if diversity >= 0.5:
        return []
    return [f"mode collapse: samples differ from each other {diversity:.0%} as much as real pictures do; {COLLAPSE}"]


def missing(shares: np.ndarray, count: int, without: tuple[int, ...] = ()) -> list[str]:
    """A warning if classes have less than a tenth of their due; shares: of each among `count` samples; without: classes
    that the model was never shown."""
    due = 1 / max(len(shares) - len(without), 1)
    few = [str(i) for i, share in enumerate(shares) if share < 0.1 * due and i not in without]
    if not few:
        return []
    return [f"mode collapse: the classifier sees hardly any {', '.join(few)} among {count} samples; {COLLAPSE}"]


def imbalance(metrics: Mapping[str, float]) -> list[str]:
    """A warning if one side of the game has won: D tells all pictures apart, or takes most of them for the opposite."""
    real, fake = metrics.get("real"), metrics.get("fake")
    if real is None or fake is None:
        return []
    if real > 0.97 and fake < 0.03:
        return [
            f"the discriminator wins (D(real) {real:.2f}, D(fake) {fake:.2f}), so the generator learns little: "
            "lower gan.discriminator_lr, or raise model.dropout"
        ]
    if real < 0.4 and fake > 0.6:
        return [
            f"the generator wins (D(real) {real:.2f}, D(fake) {fake:.2f}): raise gan.discriminator_lr, "
            "or lower model.dropout, or set gan.critic_steps=2"
        ]
    return []
