"""The table of model families: how each one is trained and watched; no other module branches on the family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optax

from jaxgen.config import Config
from jaxgen.models.network import Network
from jaxgen.training import gan
from jaxgen.training.classifier import classifier
from jaxgen.training.diagnostics import Watch, watch_nothing, watch_samples
from jaxgen.training.diffusion import ddpm, flow
from jaxgen.training.gan_diagnostics import watch_gan
from jaxgen.training.students import METHODS
from jaxgen.training.teacher import Teacher
from jaxgen.training.train_step import Learner, Loss, Predictor, descend
from jaxgen.training.vae import vae
from jaxgen.training.vae_diagnostics import watch_vae


@dataclass(frozen=True)
class Family:
    """loss: (config, network) -> the objective, also of test images; None if no single loss measures the model.
    learner: the training algorithm, None for gradient descent on the loss. watch: the diagnostics of a run. judged:
    whether a classifier may watch its samples. distillation: as `loss`, with a teacher's predictions."""

    loss: Callable[[Any, Network], Loss] | None = None
    learner: Callable[[Any, Network, optax.Schedule], Learner] | None = None
    watch: Watch = watch_samples
    judged: bool = False
    distillation: Callable[[Any, Network, Predictor], Loss] | None = None


FAMILIES: dict[str, Family] = {
    "ddpm": Family(ddpm, distillation=ddpm),
    "flow": Family(flow, distillation=flow),
    "vae": Family(vae, watch=watch_vae),
    "gan": Family(learner=gan.learner, watch=watch_gan, judged=True),
    "classifier": Family(classifier, watch=watch_nothing),
}


def learner(
    config: Config, network: Network, schedule: optax.Schedule, teacher: Teacher | None = None
) -> Learner:  # fmt: skip
    """The learner of a config; a teacher requires a family with `distillation`. A student of few steps has the
    learner of its method, which without a teacher has the state's shapes alone."""
    family = FAMILIES[config.family]
    if config.distilled:
        return METHODS[config.distilled.method].learner(config, network, schedule, teacher)
    if teacher:
        assert family.distillation
        return descend(config.training, network, family.distillation(config, network, teacher), schedule)
    if family.learner:
        return family.learner(config, network, schedule)
    assert family.loss
    return descend(config.training, network, family.loss(config, network), schedule)
