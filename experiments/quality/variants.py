"""The rows of the table: what each changes of one of two starting points, in settings of `jaxgen train --set`.

Everything that a row rests on is spelled out here, so that a preset that changes later does not change the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from jaxgen import config as configs
from jaxgen.config.presets import preset

# The UNet of `ddpm-mnist` at commit ff2242a, and the training that all rows share.
TODAY = (
    "model.channels=32", "model.multipliers=[1,2,2]", "model.blocks=1", "model.patch=1", "model.attention=[7]",
    "model.heads=4", "model.groups=8", "model.dropout=0", "model.classes=0",
)  # fmt: skip
# What the rows of objectives and optimisation change one thing of: 2x2 pixels as one, 14x14 and 7x7 inside.
PATCHED = (*TODAY, "model.patch=2", "model.channels=64", "model.multipliers=[1,2]")
TRAINING = (
    "training.batch_size=64", "training.optimizer=adam", "training.lr=1e-3", "training.lr_schedule=cosine",
    "training.warmup=200", "training.beta1=0.9", "training.beta2=0.999", "training.grad_clip=1", "training.ema=0.999",
    "training.seed=0", "training.checkpoint_every=500", "training.keep=1",
)  # fmt: skip
DIFFUSION = (
    "diffusion.steps=1000", "diffusion.schedule=cosine", "diffusion.prediction=eps", "diffusion.weighting=simple",
    "diffusion.times=uniform", "diffusion.sampler=ddim", "diffusion.sampler_steps=50", "diffusion.eta=0",
)  # fmt: skip
FLOW = ("flow.time_scale=1000", "flow.times=uniform", "flow.sampler=euler", "flow.sampler_steps=50")


@dataclass(frozen=True)
class Variant:
    """changes: what the row is about, the last and strongest of its settings; network: a starting point."""

    changes: tuple[str, ...] = ()
    network: tuple[str, ...] = PATCHED
    preset: str = "ddpm-mnist"

    @property
    def settings(self) -> tuple[str, ...]:
        """All settings over the preset, one of each key."""
        process = FLOW if self.preset.startswith("flow") else DIFFUSION
        values = dict(setting.split("=") for setting in (*self.network, *TRAINING, *process, *self.changes))
        return tuple(f"{key}={value}" for key, value in values.items())

    @cached_property
    def config(self) -> configs.Config:
        return configs.override(preset(self.preset), self.settings)

    @property
    def cost(self) -> tuple[object, ...]:
        """What the time of a step depends on: rows that have it in common are timed as one."""
        config = self.config
        return config.model, config.training.batch_size, config.training.optimizer


def _today(*changes: str) -> Variant:
    return Variant(changes, TODAY)


def _of(*changes: str) -> Variant:
    return Variant(changes)


def _flow(*changes: str) -> Variant:
    return Variant(changes, preset="flow-mnist")


VARIANTS: dict[str, Variant] = {
    # The shape of the network.
    "unet28": _today(),
    "unet28-narrow": _today("model.channels=16", "model.multipliers=[1,2,4]"),
    "unet14": _of(),
    "unet14-narrow": _of("model.channels=32", "model.multipliers=[1,2]"),
    "unet14-wide": _of("model.channels=96", "model.multipliers=[1,2]"),
    "unet14-deep": _of("model.blocks=2"),
    "unet14-plain": _of("model.attention=[]"),
    "unet7": _of("model.patch=4", "model.channels=128", "model.multipliers=[1]", "model.blocks=2"),
    # What it predicts, and how its errors are weighed.
    "x0": _of("diffusion.prediction=x0"),
    "v": _of("diffusion.prediction=v"),
    "edm": _of("diffusion.prediction=edm"),
    "edm-log-normal": _of("diffusion.prediction=edm", "diffusion.times=log-normal"),
    "min-snr": _of("diffusion.weighting=min-snr"),
    "v-min-snr": _of("diffusion.prediction=v", "diffusion.weighting=min-snr"),
    "log-normal": _of("diffusion.times=log-normal"),
    "logit-normal": _of("diffusion.times=logit-normal"),
    "v-logit-normal": _of("diffusion.prediction=v", "diffusion.times=logit-normal"),
    # The noise.
    "linear": _of("diffusion.schedule=linear", "diffusion.beta_start=1e-4", "diffusion.beta_end=0.02"),
    "sigmoid": _of("diffusion.schedule=sigmoid"),
    "flow": _flow(),
    "flow-logit-normal": _flow("flow.times=logit-normal"),
    "flow28": Variant((), TODAY, "flow-mnist"),
    # The optimisation.
    "batch32": _of("training.batch_size=32"),
    "batch128": _of("training.batch_size=128"),
    "batch128-lr2e-3": _of("training.batch_size=128", "training.lr=2e-3"),
    "lr5e-4": _of("training.lr=5e-4"),
    "lr2e-3": _of("training.lr=2e-3"),
    "ema0.99": _of("training.ema=0.99"),
    "ema0.995": _of("training.ema=0.995"),
    "ema0.9995": _of("training.ema=0.9995"),
    # Labels: each of the images that are scored is of a class, and its accuracy is a column.
    "conditional28": _today("model.classes=10", "model.label_dropout=0.1"),
    "conditional": _of("model.classes=10", "model.label_dropout=0.1"),
    "conditional-flow": _flow("model.classes=10", "model.label_dropout=0.1"),
}
