"""The commands jaxgen data list, info and get: list, describe and download datasets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jaxgen.cli.help import group
from jaxgen.cli.options import data_dir_option, json_option

if TYPE_CHECKING:
    from jaxgen.data import DatasetInfo


@group()
def data() -> None:
    """List, describe and fetch datasets."""


@data.command("list")
@data_dir_option
@json_option
def list_(data_dir: Path | None, as_json: bool) -> None:
    """List the datasets with a built-in name.

    \b
    jaxgen data list
    """
    from jaxgen import data as datasets

    infos = [datasets.info(name, data_dir=data_dir) for name in datasets.names()]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(info) for info in infos], indent=2))
        return
    for info in infos:
        state = "ready" if info.ready else "damaged" if info.problem else "to get"
        click.echo(f"{info.name:16} {_shape(info.shape):10} {state:8} {info.title}")
    click.echo("folder:PATH      any         your own images; subfolders are classes")
    click.echo("any other name is looked up in TensorFlow Datasets", err=True)


@data.command()
@click.argument("name")
@data_dir_option
@json_option
def info(name: str, data_dir: Path | None, as_json: bool) -> None:
    """Describe a dataset.

    \b
    jaxgen data info mnist
    """
    from jaxgen import data as datasets

    description = datasets.info(name, data_dir=data_dir)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(description), indent=2))
        return
    splits, classes = description.splits, description.classes
    rows = {
        "name": description.name,
        "title": description.title,
        "source": description.source,
        "images": _shape(description.shape),
        "splits": ", ".join(f"{split} {count:,}" for split, count in splits.items()) or "unknown until it is prepared",
        "classes": f"{len(classes)}: {', '.join(classes)}" if classes else "none",
        "ready": _ready(description, name),
    }
    for key, value in rows.items():
        click.echo(f"{key:10} {value}")


@data.command(doing="fetching")
@click.argument("name")
@data_dir_option
def get(name: str, data_dir: Path | None) -> None:
    """Fetch a dataset, check it and prepare it once.

    \b
    jaxgen data get mnist
    """
    from jaxgen import data as datasets

    folder = datasets.get(name, data_dir=data_dir)
    click.echo(folder if folder else f"{name} is ready: it needs no download")


def _ready(about: DatasetInfo, name: str) -> str:
    if about.problem:
        return f"no; {about.problem}"
    return "yes" if about.ready else f"no; run: jaxgen data get {name}"


def _shape(shape: tuple[int | None, int | None, int | None] | None) -> str:
    return "x".join(str(side or "?") for side in shape) if shape else "any"
