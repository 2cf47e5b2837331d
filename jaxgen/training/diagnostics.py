"""Diagnostics of a run in progress: images, scalars and warnings, one function per kind of model."""

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
MOST_DIMENSIONS = 64  # latent dimensions whose KL is logged one by one
JUDGED = 500  # samples to classify: with 64, one of ten equal classes may be missing by chance


@dataclass(frozen=True)
class DiagnosticReport:
    """images: uint8 [H, W, C] by name, 'samples' first; warnings, by kind of problem: what is wrong, and
    which setting of a resumed run to change."""

    images: dict[str, np.ndarray] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)


# uint8 images, and the requested class of each (or None) -> the share of each class among them, and the share that
# match the requested classes (or None)
ClassifierProbe = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, float | None]]


class Subject(Protocol):
    """The interface of a model in training to its diagnostics; `jaxgen.training.monitor.Monitor` implements it."""

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


# (subject, weights, the mean metrics of the newest steps, with the last "step")
Watch = Callable[[Subject, Params, Mapping[str, float]], DiagnosticReport]


def watch_nothing(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """An empty report, for a model that generates no images."""
    return DiagnosticReport()


def watch_samples(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """A grid of the first images of seed 0."""
    return DiagnosticReport(images={"samples": grid(subject.sample(params))})


def watch_vae(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """Samples, reconstructions below their originals, a plot of 2-D latents, and a warning of posterior collapse."""
    config: Any = subject.config
    report = watch_samples(subject, params, metrics)
    if subject.test is None:
        return report
    images, labels = subject.test
    mean, log_variance = subject.encode(params, images)
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


def watch_gan(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """Samples, with warnings if one side of the game wins or the modes collapse."""
    config: Any = subject.config
    count = config.training.sample_count
    samples = subject.sample(params, max(count, JUDGED) if subject.judge else count)
    report = DiagnosticReport(images={"samples": grid(samples[:count])})
    labels = subject.labels(len(samples))
    if GAMES[config.gan.loss].beliefs:
        report.warnings.update(imbalance(metrics, config))
    if subject.test is not None:
        images, classes = subject.test
        fake, real = spread(samples, labels), spread(images, classes if config.classes else None)
        if fake is not None and real:
            report.scalars["diversity"] = fake / real
            if "generator wins" not in report.warnings:  # a winning generator has no reason to vary its images
                report.warnings.update(sameness(fake / real, config))
    if subject.judge:
        shares, accuracy = subject.judge(samples, labels)
        report.scalars.update({f"class_share/{i}": float(share) for i, share in enumerate(shares)})
        report.warnings.update(missing(shares, len(samples), config))
        if accuracy is not None:
            report.scalars["drawn_as_asked"] = accuracy
    return report


def sameness(diversity: float, config: GAN) -> dict[str, str]:
    """A warning if samples are too similar; diversity: their spread over that of real images."""
    if diversity >= 0.5:
        return {}
    alike = f"mode collapse: samples differ from each other {diversity:.0%} as much as real images do"
    return {"sameness": f"{alike}; {against_modes(config)}"}


def missing(shares: np.ndarray, count: int, config: GAN) -> dict[str, str]:
    """A warning if classes of the training data have less than a tenth of their equal share; shares: of each class
    among `count` samples."""
    without = config.data.without
    equal = 1 / max(len(shares) - len(without), 1)
    rare = [str(i) for i, share in enumerate(shares) if share < 0.1 * equal and i not in without]
    if not rare:
        return {}
    line = f"mode collapse: the classifier sees hardly any {', '.join(rare)} among {count} samples"
    return {"missing": f"{line}; {against_modes(config)}"}


def against_modes(config: GAN) -> str:
    """The settings that make a generator's samples more diverse."""
    other = "" if config.gan.loss == "hinge" else "try gan.loss=hinge, or "
    return f"lower training.lr, or {other}raise model.dropout"


def imbalance(metrics: Mapping[str, float], config: GAN) -> dict[str, str]:
    """A warning if one side of the game wins: D separates all images, or takes fake ones for real."""
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
        advice = [f"set gan.discriminator_lr={max(own * 2, lr):g}"]
        advice += ["lower model.dropout"] if config.model.dropout else []
        advice += [f"set gan.critic_steps={steps}"] if config.training.batch_size % steps == 0 else []
        return {"generator wins": f"the generator wins ({beliefs}): {', or '.join(advice)}"}
    return {}
