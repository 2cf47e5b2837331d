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
    from jaxgen.data.dataset import Source


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
    for form, what in datasets.FORMS.items():
        click.echo(f"{form + ':PATH':16} {'any':10} {'your own':8} {what.words}")
    click.echo("a path alone is taken for what it holds; any other name is looked up in TensorFlow Datasets", err=True)


@data.command()
@click.argument("name")
@data_dir_option
@click.option("--sheet", type=click.Path(path_type=Path), metavar="FILE.png", help="Show some of its images, by class.")
@json_option
def info(name: str, data_dir: Path | None, sheet: Path | None, as_json: bool) -> None:
    """Describe a dataset. Your own data are read once, all of them: what cannot be read is listed, and what train would
    make of the rest is said.

    \b
    jaxgen data info mnist
    jaxgen data info digits --sheet digits.png
    """
    from jaxgen import data as datasets
    from jaxgen.cli import own_data
    from jaxgen.data.survey import survey

    if sheet:
        from jaxgen.inference.writers import checked

        checked(sheet, ".png")
    source = datasets.source(name)
    description = source.info(data_dir)
    found = survey(source.opened()) if isinstance(source, datasets.OwnData) else None
    if as_json:
        more = {"survey": dataclasses.asdict(found)} if found else {}
        click.echo(json.dumps({**dataclasses.asdict(description), **more}, indent=2))
    else:
        rows = own_data.report(description, found) if found else _rows(description)
        for key, value in rows.items():
            click.echo(f"{key:10} {value}")
        for line in own_data.listed(found) if found else []:
            click.echo(line)
    if sheet:
        _write_sheet(sheet, source, data_dir)
        click.echo(sheet, err=as_json)


def _rows(description: DatasetInfo) -> dict[str, str]:
    splits, classes = description.splits, description.classes
    return {
        "name": description.name,
        "title": description.title,
        "source": description.source,
        "images": _shape(description.shape),
        "splits": ", ".join(f"{split} {count:,}" for split, count in splits.items()) or "unknown until it is prepared",
        "classes": f"{len(classes)}: {', '.join(classes)}" if classes else "none",
        "ready": _ready(description, description.name),
    }


def _write_sheet(path: Path, source: Source, data_dir: Path | None) -> None:
    """Write training images as a sheet, with a column for each class if they are few."""
    from jaxgen.data.survey import samples
    from jaxgen.errors import JaxgenError
    from jaxgen.images import grid, save_png

    info = source.info(data_dir)
    images, columns = samples(source.open("train", data_dir), info.classes)
    if not len(images):
        raise JaxgenError(f"{info.name}: none of the images that were to be shown can be read")
    save_png(path, grid(images, columns=min(columns, len(images))))


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
