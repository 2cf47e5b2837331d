"""The named experiments: FAMILY-DATASET[-variant] -> Config. `jaxgen presets` lists them."""

from __future__ import annotations

import re
from dataclasses import replace

from jaxgen.config import Config, DataConfig, DiffusionConfig, TrainingConfig, UNetConfig
from jaxgen.errors import lookup

_DIGITS = Config(
    name="ddpm-digits",
    data=DataConfig(dataset="digits", size=8, channels=1),
    model=UNetConfig(channels=32, multipliers=(1, 2), blocks=1, attention=(4,)),
    diffusion=DiffusionConfig(schedule="cosine"),
    training=TrainingConfig(
        steps=3000, batch_size=128, lr=2e-3, lr_schedule="cosine", warmup=100, ema=0.995,
        checkpoint_every=1000, sample_every=1000,
    ),
)  # fmt: skip

_MNIST = Config(
    name="ddpm-mnist",
    data=DataConfig(dataset="mnist", size=28, channels=1),
    model=UNetConfig(channels=32, multipliers=(1, 2, 2), blocks=1, attention=(7,)),
    diffusion=DiffusionConfig(schedule="cosine"),
    training=TrainingConfig(
        steps=8000, batch_size=64, lr=1e-3, lr_schedule="cosine", warmup=200,
        checkpoint_every=500, sample_every=1000,
    ),
)  # fmt: skip

# The three configurations for 16x16 MNIST that DDPM tutorials publish: they differ in T, learning rate and beta.
_MNIST16 = Config(
    name="ddpm-mnist16-baseline",
    data=DataConfig(dataset="mnist", size=16, channels=1),
    model=UNetConfig(channels=32, multipliers=(1, 2, 4), blocks=1),
    diffusion=DiffusionConfig(steps=1000, schedule="linear", beta_start=1e-4, beta_end=0.02),
    training=TrainingConfig(epochs=100, batch_size=128, lr=3e-4),
)

# The mini UNet of the tutorials: few channels, time embedding, no attention, T = 200.
_MINI = Config(
    name="ddpm-mnist-mini",
    data=DataConfig(dataset="mnist", size=28, channels=1),
    model=UNetConfig(channels=16, multipliers=(1, 2, 4), blocks=1),
    diffusion=DiffusionConfig(steps=200, schedule="linear", beta_start=1e-4, beta_end=0.02, sampler="ancestral"),
    training=TrainingConfig(
        epochs=5, batch_size=128, lr=2e-3, lr_schedule="cosine", warmup=200, checkpoint_every=500, sample_every=1000
    ),
)

_PUNKS = Config(
    name="ddpm-cryptopunks",
    data=DataConfig(dataset="cryptopunks", size=32, channels=3),
    model=UNetConfig(channels=32, multipliers=(1, 2, 2, 2), blocks=2, attention=(16, 8)),
    diffusion=DiffusionConfig(steps=1000, schedule="linear", beta_start=1e-4, beta_end=0.02),
    training=TrainingConfig(epochs=100, batch_size=64, lr=3e-4, checkpoint_every=500),
)


def _variant(base: Config, name: str, **sections: dict[str, object]) -> Config:
    """`base` under another name, with some fields of some sections replaced."""
    changed = {section: replace(getattr(base, section), **fields) for section, fields in sections.items()}
    return replace(base, name=name, **changed)


PRESETS: dict[str, Config] = {
    config.name: config
    for config in (
        _DIGITS,
        _variant(_DIGITS, "cddpm-digits", model={"classes": 10}),
        _MNIST,
        _variant(_MNIST, "cddpm-mnist", model={"classes": 10}),
        _variant(_MNIST, "ddpm-fashion_mnist", data={"dataset": "fashion_mnist"}),
        _MINI,
        _PUNKS,
        _MNIST16,
        _variant(_MNIST16, "ddpm-mnist16-fast", diffusion={"steps": 300}),
        _variant(_MNIST16, "ddpm-mnist16-precise", diffusion={"beta_end": 0.01}, training={"lr": 2e-4}),
    )
}


def preset(name: str) -> Config:
    """The preset of that name, or a UsageError that names the nearest."""
    return lookup(PRESETS, name, "preset")


def families() -> list[str]:
    """The words that `--model` takes."""
    return sorted({name.split("-")[0] for name in PRESETS})


def for_dataset(family: str, dataset: str, *, size: int = 32, channels: int = 3) -> Config:
    """The family's preset for a dataset; where there is none, its largest preset at the dataset's own size.

    size, channels: of the dataset's pictures, used only for datasets that no preset names; sizes are rounded to
    what three levels can halve, and are at most 64, beyond which this network is too small to be of use.
    Raises UsageError if there is no such family, or none of its presets fits.
    """
    lookup(dict.fromkeys(families()), family, "model")
    name = f"{family}-{dataset}"
    if name in PRESETS:
        return PRESETS[name]
    size = min(max(4, round(size / 4) * 4), 64)
    base = PRESETS[f"{family}-mnist"]
    return _variant(
        base, re.sub(r"[^\w.-]+", "-", name)[:100],
        data={"dataset": dataset, "size": size, "channels": channels}, model={"attention": (size // 4,)},
    )  # fmt: skip
