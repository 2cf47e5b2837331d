"""The commands jaxgen train and presets: train a model, and list or print its presets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import data_dir_option, dataset_names, family_names, json_option, preset_names, read_config
from jaxgen.cli.progress import ProgressBar
from jaxgen.cli.types import PATH, IntRange, completes

if TYPE_CHECKING:
    from jaxgen.config import Config
    from jaxgen.runs.folder import RunFolder


@command(doing=None)
@click.option(
    "--model",
    "model_name",
    metavar="NAME",
    shell_complete=completes(family_names),
    help="The first word of a preset's name, such as ddpm, cvae or gan; selects its preset for the dataset. "
    "Without --dataset, its preset for the digits, or else its first in 'jaxgen presets'.",
)
@click.option(
    "--preset", metavar="NAME", shell_complete=completes(preset_names),
    help="A named configuration; 'jaxgen presets' lists them.",
)  # fmt: skip
@click.option("--config", "config_file", type=PATH, help="A TOML file that overrides the preset.")
@click.option(
    "--dataset", metavar="NAME", shell_complete=completes(dataset_names),
    help="The images to learn: digits, mnist, ..., or the path of your own; 'jaxgen data list' lists them.",
)  # fmt: skip
@data_dir_option
@click.option(
    "--classifier",
    type=PATH,
    metavar="RUN",
    help="A classifier's run, to watch the classes of a GAN's samples.",
)
@click.option(
    "--teacher",
    type=PATH,
    metavar="RUN",
    help="Learn from this run's predictions: a smaller or faster network of the same process.",
)
@click.option(
    "--eval-every",
    type=IntRange(0),
    metavar="STEPS",
    help="Score samples every so many steps, and keep the best checkpoint by FID; 0: never.",
)
@click.option("--eval-count", type=IntRange(2), metavar="N", help="How many samples to score.  [default: 1000]")
@click.option(
    "--extractor",
    type=PATH,
    metavar="FILE.onnx",
    help="The classifier whose features are compared.  [default: the dataset's that comes with jaxgen]",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key of the config; repeatable.")
@click.option("--out", type=PATH, help="The run's folder.  [default: runs/PRESET]")
@click.option("--resume", type=PATH, metavar="RUN", help="Go on with a run where it stopped, bit for bit.")
@click.option("--accept-data", is_flag=True, help="Go on with other data, by the class names that were trained.")
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
    accept_data: bool,
) -> None:
    """Train a model. Repeating the command continues an interrupted run.

    A run knows its data by class names, number, size and the hashes of some images: they may be elsewhere when it goes
    on (--dataset, --data-dir), but not be others, unless --accept-data says so.

    \b
    jaxgen train --model ddpm
    jaxgen train --preset ddpm-mnist --data-dir ~/mnist --set training.steps=2000
    jaxgen train --preset cddpm-digits --eval-every 500
    jaxgen train --resume runs/ddpm-mnist
    jaxgen train --resume runs/pets --dataset folder:/moved/pets
    """
    from jaxgen.errors import UsageError, extra

    if resume and (model_name or preset or config_file or out):
        raise UsageError(
            "--resume takes the run's own config; it combines only with --set, --dataset, --data-dir, --accept-data, "
            "--classifier, --teacher, --eval-every, --eval-count and --extractor"
        )
    bar = ProgressBar("loading JAX, the data and the network")
    with bar, extra("train"):
        from jaxgen.runs import speed
        from jaxgen.runs.evaluation import EvaluationRequest
        from jaxgen.runs.folder import RunFolder
        from jaxgen.training import distributed
        from jaxgen.training.signals import StopSignal
        from jaxgen.training.trainer import train as run_training
    stop = StopSignal()
    with stop.handled(), bar:
        if resume:
            run = RunFolder(resume)
            config = _resumed(run.config(), dataset, settings)
            data_dir = _moved(run, config, data_dir)
        else:
            config = _chosen(model_name, preset, config_file, dataset, data_dir, settings)
            run = RunFolder(out or Path("runs") / config.name)
            _foretell(config)
        distributed.start(config, run)
        try:
            last = run_training(
                config, run.path, data_dir=data_dir, classifier=classifier, teacher=teacher,
                evaluation=EvaluationRequest(eval_every, eval_count, extractor), stop=stop, resume=resume is not None,
                accept_data=accept_data, prepared=bar.stop,
            )  # fmt: skip
        finally:
            speed.remember(config, run)
    click.echo(last)


def _foretell(config: Config) -> None:
    """Say how long the run takes, if one like it was trained here before; else its first steps tell."""
    if words := _time_here(config):
        click.echo(f"{config.name} takes {words}, by the speed of an earlier run", err=True)


def _time_here(config: Config) -> str:
    """How long a run of this config takes on this machine, in words; '' if it is not known."""
    from jaxgen.runs import speed
    from jaxgen.runs.status import duration

    known = speed.remembered(config)
    seconds = known.seconds(config) if known else None
    return f"about {duration(seconds)} here" if seconds else ""


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
        config = read_config(config_file)
    else:
        raise UsageError("give --model, --preset or --config; 'jaxgen presets' lists the presets")
    if config_file and (preset or model_name):
        config = read_config(config_file, config)
    if dataset:
        config = replace(config, data=replace(config.data, dataset=dataset))
    config = configs.override(config, settings)
    return replace(config, data=replace(config.data, dataset=absolute(config.data.dataset)))


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


def _resumed(config: Config, dataset: str | None, settings: tuple[str, ...]) -> Config:
    """A run's config with changed training settings, and the place of its data; other keys cannot change on resume."""
    from dataclasses import replace

    from jaxgen import config as configs
    from jaxgen.data.catalog import absolute
    from jaxgen.errors import UsageError
    from jaxgen.runs.folder import may_change

    changed = configs.override(config, settings)
    place = absolute(dataset or changed.data.dataset)
    changed = replace(changed, data=replace(changed.data, dataset=place))
    for key, (old, new) in configs.differences(config, changed).items():
        if not may_change(key):
            raise UsageError(f"{key} cannot change from {old} to {new} when a run is resumed; start a new run")
    return changed


def _moved(run: RunFolder, config: Config, data_dir: Path | None) -> Path | None:
    """The folder of datasets of a run that goes on; raises UsageError if it is named for data that do not lie there."""
    from click.core import ParameterSource

    from jaxgen.data.forms import FORMS
    from jaxgen.errors import UsageError

    named = click.get_current_context().get_parameter_source("data_dir") is ParameterSource.COMMANDLINE
    form = config.data.dataset.partition(":")[0]
    if named and form in FORMS:
        raise UsageError(
            f"--data-dir is for datasets by name, and {run.path} was trained on {config.data.dataset}: "
            f"if that was moved, name it by --dataset {form}:PATH"
        )
    return data_dir or run.data_dir()


@command(doing="reading")
@json_option
@click.argument("name", required=False, shell_complete=completes(preset_names))
def presets(as_json: bool, name: str | None) -> None:
    """List the named configurations, or print one as TOML, ready for --config.

    Those that were trained on this machine say how long they take here; the first steps of a run tell it of the others.

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
                f"lr {t.lr:<7g} batch {t.batch_size:<4} {length:12} {_time_here(value)}".rstrip()
            )
