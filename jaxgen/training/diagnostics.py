"""What to show of a run in progress, and what to warn of: one function a kind of model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from jaxgen.config import GAN, Config, VAEObjective
from jaxgen.evaluation.metrics import spread
from jaxgen.images import grid, side_by_side, to_uint8
from jaxgen.models.network import Params
from jaxgen.plots import latent_scatter
from jaxgen.training.data_loading import Batch
from jaxgen.training.gan import GAMES
from jaxgen.training.vae import ACTIVE, kl_divergence

RECONSTRUCTIONS = 32  # images of the grid
MOST_DIMENSIONS = 64  # whose KL is logged one by one
JUDGED = 500  # images that a classifier looks at: of ten equal classes each is among them, of 64 not always


@dataclass(frozen=True)
class DiagnosticReport:
    """images: uint8 [H, W, C] by name, 'samples' first among them; warnings: what is wrong, and what to
    change that a resumed run lets change, by the kind of trouble."""

    images: dict[str, np.ndarray] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)


# uint8 images, and the class asked for of each (None: none was) -> the share of each class among them, and how many
# are as asked (None: nothing was)
ClassifierProbe = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, float | None]]


class Subject(Protocol):
    """What a diagnostic may ask of a model in training; `jaxgen.training.subject.Monitor` answers."""

    @property
    def config(self) -> Config: ...

    @property
    def test(self) -> Batch | None: ...

    @property
    def judge(self) -> ClassifierProbe | None: ...

    @property
    def apply(self) -> Any: ...

    def encode(self, params: Params, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def labels(self, count: int) -> np.ndarray | None: ...

    def sample(self, params: Params, count: int = 0) -> np.ndarray: ...


# (subject, weights, means of the newest steps' metrics and the last one's "step")
Watch = Callable[[Subject, Params, Mapping[str, float]], DiagnosticReport]


def watch_nothing(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """Of a model that draws nothing."""
    return DiagnosticReport()


def watch_samples(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """The first images of seed 0, always the same ones."""
    return DiagnosticReport(images={"samples": grid(subject.sample(params))})


def watch_vae(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """Samples, reconstructions below what they are of, the latent plane if it is one, dimensions that say nothing."""
    config: Any = subject.config
    seen = watch_samples(subject, params, metrics)
    if subject.test is None:
        return seen
    images, labels = subject.test
    mean, log_variance = subject.encode(params, images)
    again = subject.apply(params, mean[:RECONSTRUCTIONS], jnp.asarray(labels[:RECONSTRUCTIONS]))
    rows = side_by_side(8, images[:RECONSTRUCTIONS], to_uint8(np.asarray(again)))
    seen.images["reconstructions"] = grid(rows.reshape(-1, *images.shape[1:]), columns=8)
    latent = mean.shape[1]
    if latent == 2:
        seen.images["latents"] = latent_scatter(mean, labels)
    kl = np.asarray(kl_divergence(jnp.asarray(mean), jnp.asarray(log_variance)).mean(0))
    active = int((mean.var(0) > ACTIVE).sum())
    seen.scalars.update({f"kl_of_dimension/{i:02d}": float(nats) for i, nats in enumerate(kl[:MOST_DIMENSIONS])})
    seen.scalars["active_units"] = float(active)
    if active <= max(latent // 4, min(latent - 1, 1)):  # of few, one that is left is too few
        seen.warnings["posterior collapse"] = (
            f"posterior collapse: {active} of {latent} latent dimensions say anything of the image; "
            f"{against_collapse(config.vae)}, or start a run with fewer dimensions (model.latent)"
        )
    return seen


def against_collapse(objective: VAEObjective) -> str:
    """What makes more latent dimensions say something."""
    if objective.samples > 1:  # these bounds have neither
        return "set vae.samples=1 and vae.free_bits=0.1"
    return f"lower vae.beta, or set vae.free_bits={2 * objective.free_bits or 0.1:g}"


def watch_gan(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """Samples, and whether one side wins or the generator draws too much of one thing."""
    config: Any = subject.config
    count = config.training.sample_count
    samples = subject.sample(params, max(count, JUDGED) if subject.judge else count)
    seen = DiagnosticReport(images={"samples": grid(samples[:count])})
    labels = subject.labels(len(samples))
    if GAMES[config.gan.loss].beliefs:
        seen.warnings.update(imbalance(metrics, config))
    if subject.test is not None:
        images, classes = subject.test
        ours, real = spread(samples, labels), spread(images, classes if config.classes else None)
        if ours is not None and real:
            seen.scalars["diversity"] = ours / real
            if "generator wins" not in seen.warnings:  # who fools the discriminator with anything need not vary it
                seen.warnings.update(sameness(ours / real, config))
    if subject.judge:
        shares, right = subject.judge(samples, labels)
        seen.scalars.update({f"class_share/{i}": float(share) for i, share in enumerate(shares)})
        seen.warnings.update(missing(shares, len(samples), config))
        if right is not None:
            seen.scalars["drawn_as_asked"] = right
    return seen


def sameness(diversity: float, config: GAN) -> dict[str, str]:
    """A warning if samples are too much alike; diversity: their spread over that of real images."""
    if diversity >= 0.5:
        return {}
    alike = f"mode collapse: samples differ from each other {diversity:.0%} as much as real images do"
    return {"sameness": f"{alike}; {against_modes(config)}"}


def missing(shares: np.ndarray, count: int, config: GAN) -> dict[str, str]:
    """A warning if classes that the model is shown have less than a tenth of their due; shares: of each among `count`
    samples."""
    without = config.data.without
    due = 1 / max(len(shares) - len(without), 1)
    few = [str(i) for i, share in enumerate(shares) if share < 0.1 * due and i not in without]
    if not few:
        return {}
    hardly = f"mode collapse: the classifier sees hardly any {', '.join(few)} among {count} samples"
    return {"missing": f"{hardly}; {against_modes(config)}"}


def against_modes(config: GAN) -> str:
    """What makes a generator draw more kinds of image."""
    other = "" if config.gan.loss == "hinge" else "try gan.loss=hinge, or "
    return f"lower training.lr, or {other}raise model.dropout"


def imbalance(metrics: Mapping[str, float], config: GAN) -> dict[str, str]:
    """A warning if one side of the game has won: D tells all images apart, or takes fake ones for real."""
    real, fake = metrics.get("d_real"), metrics.get("d_fake")
    if real is None or fake is None:
        return {}
    beliefs, lr = f"D(real) {real:.2f}, D(fake) {fake:.2f}", config.training.lr
    own = config.gan.discriminator_lr or lr
    if real > 0.97 and fake < 0.03:
        line = f"the discriminator wins ({beliefs}), so the generator learns little"
        return {"discriminator wins": f"{line}: set gan.discriminator_lr={min(own / 2, lr):g}, or raise model.dropout"}
    if fake > 0.8 or fake - real > 0.2:
        steps = 2 * config.gan.critic_steps
        what = [f"set gan.discriminator_lr={max(own * 2, lr):g}"]
        what += ["lower model.dropout"] if config.model.dropout else []
        what += [f"set gan.critic_steps={steps}"] if config.training.batch_size % steps == 0 else []
        return {"generator wins": f"the generator wins ({beliefs}): {', or '.join(what)}"}
    return {}
