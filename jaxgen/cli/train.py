"""The commands jaxgen train and presets: train a model, and list or print its presets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jaxgen.cli.options import data_dir_option, json_option

if TYPE_CHECKING:
    from jaxgen.config import Config


@click.command()
@click.option(
    "--model",
    "model_name",
    metavar="NAME",
    help="The first word of a preset's name, such as ddpm, cvae or gan; selects its preset for the dataset. "
    "Without --dataset, its preset for the digits, or else its first in 'jaxgen presets'.",
)
@click.option("--preset", metavar="NAME", help="A named configuration; see 'jaxgen presets'.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="A TOML file that overrides the preset.")
@click.option("--dataset", metavar="NAME", help="digits, mnist, ..., or the path of your own; see 'jaxgen data list'.")
@data_dir_option
@click.option(
    "--classifier",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A classifier's run, to watch the classes of a GAN's samples.",
)
@click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Learn from this run's predictions: a smaller or faster network of the same process.",
)
@click.option(
    "--eval-every",
    type=click.IntRange(0),
    metavar="STEPS",
    help="Score samples every so many steps, and keep the best checkpoint by FID; 0: never.",
)
@click.option("--eval-count", type=click.IntRange(2), metavar="N", help="Samples to score.  [default: 1000]")
@click.option(
    "--extractor",
    type=click.Path(path_type=Path),
    metavar="FILE.onnx",
    help="The classifier whose features are compared.  [default: the dataset's that comes with jaxgen]",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one key; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/PRESET]")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Continue a run, bit for bit.")
def train(
    model_name: str | None,
    preset: str | None,
    config_file: Path | None,
    dataset: str | None,
    data_dir: Path | None,
    classifier: Path | None,
    teacher: Path | None,
    eval_every: int | None,
    eval_count: int | None,
    extractor: Path | None,
    settings: tuple[str, ...],
    out: Path | None,
    resume: Path | None,
) -> None:
    """Train a model. Repeating the command continues an interrupted run.

    \b
    jaxgen train --model ddpm
    jaxgen train --preset ddpm-mnist --data-dir ~/mnist --set training.steps=2000
    jaxgen train --preset cddpm-digits --eval-every 500
    jaxgen train --resume runs/ddpm-mnist
    """
    from jaxgen.errors import UsageError, extra

    if resume and (model_name or preset or config_file or dataset or out):
        raise UsageError(
            "--resume takes the run's own config; it combines only with --set, --data-dir, --classifier, --teacher, "
            "--eval-every, --eval-count and --extractor"
        )
    with extra("train"):
        from jaxgen.runs.evaluation import EvaluationRequest
        from jaxgen.runs.folder import RunFolder
        from jaxgen.training import distributed
        from jaxgen.training.signals import StopSignal
        from jaxgen.training.trainer import train as run_training
    stop = StopSignal()
    with stop.handled():
        if resume:
            run = RunFolder(resume)
            config = _resumed(run.config(), settings)
            data_dir = data_dir or run.data_dir()
        else:
            config = _chosen(model_name, preset, config_file, dataset, data_dir, settings)
            run = RunFolder(out or Path("runs") / config.name)
        distributed.start(config)
        last = run_training(
            config, run.path, data_dir=data_dir, classifier=classifier, teacher=teacher,
            evaluation=EvaluationRequest(eval_every, eval_count, extractor), stop=stop, resume=resume is not None,
        )  # fmt: skip
    click.echo(last)


def _chosen(
    model_name: str | None,
    preset: str | None,
    config_file: Path | None,
    dataset: str | None,
    data_dir: Path | None,
    settings: tuple[str, ...],
) -> Config:
    """The config of the options; specific options override general ones."""
    from dataclasses import replace

    from jaxgen import config as configs
    from jaxgen.config import presets
    from jaxgen.data.catalog import absolute
    from jaxgen.errors import UsageError

    if model_name and preset:
        raise UsageError("give --model or --preset, not both")
    if preset:
        config = presets.preset(preset)
    elif model_name:
        config = _for_dataset(model_name, dataset or _first_dataset(model_name), data_dir, settings)
    elif config_file:
        config = configs.load(config_file)
    else:
        raise UsageError("give --model, --preset or --config; 'jaxgen presets' lists the presets")
    if config_file and (preset or model_name):
        config = configs.load(config_file, config)
    if dataset:  # absolute, so that the run can be resumed from anywhere
        config = replace(config, data=replace(config.data, dataset=absolute(dataset)))
    return configs.override(config, settings)


def _first_dataset(model_name: str) -> str:
    """The digits if the model has a preset for them, else the dataset of its first preset."""
    from jaxgen.config.presets import PRESETS

    own = [config.data.dataset for name, config in PRESETS.items() if name.startswith(f"{model_name}-")]
    return own[0] if own and f"{model_name}-digits" not in PRESETS else "digits"


def _for_dataset(model_name: str, dataset: str, data_dir: Path | None, settings: tuple[str, ...]) -> Config:
    """The model's preset for a dataset, or one adapted to the dataset, which stderr then says."""
    from jaxgen.cli.own_data import adapted
    from jaxgen.config import presets

    if f"{model_name}-{dataset}" in presets.PRESETS or model_name not in presets.model_names():
        return presets.for_dataset(model_name, dataset)
    return adapted(model_name, dataset, data_dir, settings)


def _resumed(config: Config, settings: tuple[str, ...]) -> Config:
    """A run's config with changed training settings; other keys cannot change on resume."""
    from jaxgen import config as configs
    from jaxgen.errors import UsageError
    from jaxgen.runs.folder import may_change

    changed = configs.override(config, settings)
    for key, (old, new) in configs.differences(config, changed).items():
        if not may_change(key):
            raise UsageError(f"{key} cannot change from {old} to {new} when a run is resumed; start a new run")
    return changed


@click.command()
@json_option
@click.argument("name", required=False)
def presets(as_json: bool, name: str | None) -> None:
    """List the named configurations, or print one as TOML, ready for --config.

    \b
    jaxgen presets
    jaxgen presets ddpm-mnist > my.toml
    """
    import json

    from jaxgen import config as configs
    from jaxgen.config.presets import PRESETS, preset

    chosen = {name: preset(name)} if name else PRESETS
    if as_json:
        click.echo(json.dumps({key: configs.to_dict(value) for key, value in chosen.items()}, indent=2))
    elif name:
        click.echo(configs.dumps(chosen[name]), nl=False)
    else:
        for key, value in PRESETS.items():
            t = value.training
            length = f"{t.steps:,} steps" if t.steps else f"{t.epochs} epochs"
            pixels = f"{value.data.size}x{value.data.size}x{value.data.channels}"
            classes = f"{value.class_count} classes" if value.class_count else ""
            click.echo(
                f"{key:24} {value.family:10} {value.data.dataset:14} {pixels:8} {classes:10} "
                f"lr {t.lr:<7g} batch {t.batch_size:<4} {length}"
            )
