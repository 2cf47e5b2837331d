"""How each family learns: one entry a family; nothing outside asks which family it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optax

from jaxgen.config import Config
from jaxgen.models.network import Network
from jaxgen.training import gan
from jaxgen.training.classifier import classifier
from jaxgen.training.diagnostics import Watch, watch_gan, watch_nothing, watch_samples, watch_vae
from jaxgen.training.diffusion import ddpm, flow
from jaxgen.training.train_step import Learner, Loss, Predictor, descend
from jaxgen.training.vae import vae


@dataclass(frozen=True)
class Family:
    """loss: (config, network) -> the objective, also of test images; None where no single one tells how good a model
    is. learner: how it is trained, where that is more than going down the loss. watch: what to show of a run. judged:
    whether a classifier may watch its samples. taught: as `loss`, with a teacher's predictions besides."""

    loss: Callable[[Any, Network], Loss] | None = None
    learner: Callable[[Any, Network, optax.Schedule], Learner] | None = None
    watch: Watch = watch_samples
    judged: bool = False
    taught: Callable[[Any, Network, Predictor], Loss] | None = None


FAMILIES: dict[str, Family] = {
    "ddpm": Family(ddpm, taught=ddpm),
    "flow": Family(flow, taught=flow),
    "vae": Family(vae, watch=watch_vae),
    "gan": Family(learner=gan.learner, watch=watch_gan, judged=True),
    "classifier": Family(classifier, watch=watch_nothing),
}


def learner(
    config: Config, network: Network, schedule: optax.Schedule, teacher: Predictor | None = None
) -> Learner:  # fmt: skip
    """What a run of this config starts from and repeats; teacher: of a family that can be taught."""
    family = FAMILIES[config.family]
    if teacher:
        assert family.taught
        return descend(config.training, network, family.taught(config, network, teacher), schedule)
    if family.learner:
        return family.learner(config, network, schedule)
    assert family.loss
    return descend(config.training, network, family.loss(config, network), schedule)
