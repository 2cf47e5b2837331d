"""What train makes of a dataset without a preset of its own, and how `jaxgen data info` describes people's own data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from jaxgen.config import Config
    from jaxgen.data import DatasetInfo
    from jaxgen.data.survey import Survey

OPTIONS = ("images", "labels", "transpose", "white", "loose")  # keys of `data` that say how own data are read
LISTED = 20  # files in a list on a terminal; --json has all
SHOWN = 12  # sizes, modes or classes in a line


def adapted(model_name: str, dataset: str, data_dir: Path | None, settings: tuple[str, ...]) -> Config:
    """The model's preset at the dataset's size, channels and classes, in batches that it fills; stderr says which.

    settings: those of --set, of which some say how data are read.
    """
    from jaxgen import data
    from jaxgen.config import presets

    info = data.info(_source(dataset, settings), data_dir=data_dir)
    size, channels = data.measures(info.shape)
    config = presets.for_dataset(model_name, dataset, size=size, channels=channels, class_count=len(info.classes))
    config = _filled(config, info.splits.get("train", 0))
    click.echo(f"{dataset}: {described(info)}; {choice(config)}", err=True)
    return config


def described(info: DatasetInfo) -> str:
    """What a dataset has: '90 training images of 16x16, grey, 3 classes'."""
    height, width, channels = info.shape
    size = f"{height}x{width}" if height and width else "different sizes"
    colour = "grey" if channels == 1 else "in colour"
    classes = f"{len(info.classes)} classes" if info.classes else "no classes"
    return f"{info.splits.get('train', 0):,} training images of {size}, {colour}, {classes}"


def choice(config: Config) -> str:
    """What is trained: 'trained at 16x16x1 (data.size, data.channels) in batches of 64 (training.batch_size)'."""
    size = "x".join(map(str, config.data.shape))
    return (
        f"trained at {size} (data.size, data.channels) in batches of {config.training.batch_size} (training.batch_size)"
    )


def report(info: DatasetInfo, found: Survey) -> dict[str, str]:
    """The lines of `jaxgen data info` on people's own data, by their first word."""
    from jaxgen import data
    from jaxgen.config import presets

    size, channels = data.measures(info.shape)
    usual = presets.for_dataset("ddpm", info.name, size=size, channels=channels)
    return {
        "name": info.name,
        "title": info.title,
        "images": f"{sum(info.splits.values()):,}",
        "sizes": _few(found.sizes),
        "modes": _few(found.modes),
        "splits": ", ".join(f"{split} {count:,}" for split, count in info.splits.items()),
        "classes": f"{len(info.classes)}: {_few(_totals(found))}" if info.classes else "none",
        "train": choice(_filled(usual, info.splits.get("train", 0))),
        "not read": f"{len(found.listed):,} files" if found.listed else "none",
    }


def listed(found: Survey) -> list[str]:
    """A line for each file that cannot be read or was passed over, with the reason, cut after some."""
    lines = [f"  {name}: {why}" for name, why in list(found.listed.items())[:LISTED]]
    return lines + (
        [f"  and {len(found.listed) - LISTED:,} more: --json has all"] if len(found.listed) > LISTED else []
    )


def _source(dataset: str, settings: tuple[str, ...]) -> str:
    """The dataset with those settings that say how it is read, as the config will have them."""
    from jaxgen import config as configs

    chosen = [
        setting for setting in settings if setting.partition("=")[0].strip() in {f"data.{key}" for key in OPTIONS}
    ]
    if not chosen:
        return dataset
    base = configs.VAE()
    return configs.override(replace(base, data=replace(base.data, dataset=dataset)), chosen).data.source


def _filled(config: Config, count: int) -> Config:
    """The config in batches of at most `count` images."""
    from jaxgen.data.batches import fitting

    if not 0 < count < config.training.batch_size:
        return config
    return replace(config, training=replace(config.training, batch_size=fitting(count)))


def _few(counts: dict[str, int]) -> str:
    """'28x28 (90), 32x32 (10)', cut after some."""
    few = [f"{name} ({count:,})" for name, count in list(counts.items())[:SHOWN]]
    return ", ".join(few + ([f"and {len(counts) - SHOWN} more"] if len(counts) > SHOWN else [])) or "none"


def _totals(found: Survey) -> dict[str, int]:
    """How many images each class has in all splits."""
    totals: dict[str, Any] = {}
    for counts in found.classes.values():
        for name, count in counts.items():
            totals[name] = totals.get(name, 0) + count
    return totals
