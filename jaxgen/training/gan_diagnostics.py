"""Diagnostics of a GAN in training: the balance of the game, and mode collapse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.config import GAN
from jaxgen.evaluation.metrics import spread
from jaxgen.models.network import Params
from jaxgen.training.diagnostics import DiagnosticReport, Subject, samples_sheet
from jaxgen.training.gan import GAMES

JUDGED = 500  # samples to classify: with 64, one of ten equal classes may be missing by chance


def watch_gan(subject: Subject, params: Params, metrics: Mapping[str, float]) -> DiagnosticReport:
    """Samples, with warnings if one side of the game wins or the modes collapse."""
    config: Any = subject.config
    count = config.training.sample_count
    samples = subject.sample(params, max(count, JUDGED) if subject.judge else count)
    report = DiagnosticReport(images={"samples": samples_sheet(subject, samples[:count])})
    labels = subject.labels(len(samples))
    if GAMES[config.gan.loss].beliefs:
        report.warnings.update(imbalance(metrics, config))
    if subject.test is not None:
        images, classes = subject.test
        fake, real = spread(samples, labels), spread(images, classes if config.class_count else None)
        if fake is not None and real:
            report.scalars["diversity"] = fake / real
            if "generator wins" not in report.warnings:  # a winning generator has no reason to vary its images
                report.warnings.update(sameness(fake / real, config))
    if subject.judge:
        shares, accuracy = subject.judge(samples, labels)
        report.scalars.update({f"class_share/{i}": float(share) for i, share in enumerate(shares)})
        report.warnings.update(missing(shares, len(samples), config))
        if accuracy is not None:
            report.scalars["label_accuracy"] = accuracy
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
