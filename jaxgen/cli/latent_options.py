"""What the commands of `jaxgen latent` share: options, and from them latents and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxgen.cli.options import data_dir_option, json_option, threads_option

if TYPE_CHECKING:
    from jaxgen.latent.pictures import Pictures
    from jaxgen.latent.spaces import Space

SEEDS = click.IntRange(0, 2**32 - 1)


def output_option(default: str, what: str) -> Callable:
    return click.option("-o", "--output", type=click.Path(path_type=Path), default=default, help=what)


def together(*options: Callable) -> Callable:
    def apply(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


model_options = together(
    click.option("--label", metavar="CLASS", help="Of conditional models: a class by number or name."),
    threads_option,
    json_option,
)
encoder_option = click.option("--encoder", type=click.Path(path_type=Path), help="[default: MODEL.encoder.onnx]")
refine_option = click.option(
    "--refine", type=click.IntRange(0, 20), default=1, help="Iterations a step when a plan is reversed."
)
dataset_option = click.option("--dataset", metavar="NAME", help="Pictures and labels of a dataset, in place of files.")


def plan_options(guidance: str = "1") -> Callable:
    """guidance: what help says that it is where nobody does."""
    guided = f"Of models with a plan.  [default: {guidance}]"
    return together(
        click.option("--steps", type=click.IntRange(1), help="Of models with a plan.  [default: the model's]"),
        click.option("--guidance", type=click.FloatRange(0, 100), help=guided),
    )


def count_option(count: int | None, what: str = "How many, at most.") -> Callable:
    """count: where nobody says; None: all."""
    return click.option(
        "--count", type=click.IntRange(1), default=count, help=what + ("" if count else "  [default: all]")
    )


def dataset_options(count: int | None) -> Callable:
    return together(
        dataset_option,
        click.option("--split", default="test", help="Of the dataset."),
        click.option("--first", type=click.IntRange(0), default=0, help="Of the dataset's pictures."),
        count_option(count),
        data_dir_option,
    )


def pictures_options(count: int | None) -> Callable:
    return together(
        click.argument("pictures", nargs=-1, type=click.Path(path_type=Path)),
        dataset_options(count),
        click.option("--invert", is_flag=True, help="Swap dark and light, as for a digit drawn on paper."),
        encoder_option,
    )


def open_space(model: Path, asked: dict[str, Any], exact: bool = True) -> Space:
    """exact: the pictures of files are to come back, and not a seed's to look as `jaxgen sample` draws them."""
    from jaxgen.latent.spaces import open_space as opened

    return opened(
        model, encoder=asked.get("encoder"), steps=asked.get("steps"), guidance=asked.get("guidance"),
        refine=asked.get("refine", 0), exact=exact, threads=asked["threads"],
    )  # fmt: skip


def read_pictures(space: Space, asked: dict[str, Any]) -> Pictures:
    """The files or the dataset that were named; nothing is read if the model cannot encode it."""
    from jaxgen.errors import UsageError
    from jaxgen.latent.pictures import Pictures

    space.require_way_back()
    if asked["pictures"] and asked["dataset"]:
        raise UsageError("give pictures or --dataset, not both")
    if not asked["dataset"]:
        return Pictures.from_files(asked["pictures"], space.model.shape, invert=asked["invert"])
    return Pictures.from_dataset(
        asked["dataset"], space.model.shape, split=asked["split"], first=asked["first"], count=asked["count"],
        data_dir=asked["data_dir"],
    )  # fmt: skip


def write(space: Space, output: Path, rows: Any, asked: dict[str, Any], made: dict[str, Any], **found: Any) -> None:
    """Rows of pictures; made: how, which a PNG keeps; found: what there is to say besides."""
    from jaxgen.latent.output import write_rows

    sha256 = {"model": space.model.artifact.sha256}
    how = {"latent": click.get_current_context().info_name, "label": asked["label"], **made}
    write_rows(output, rows, sha256 | how)
    say(asked, output, sha256 | made | found)


def say(asked: dict[str, Any], output: Path, found: dict[str, Any]) -> None:
    """Where the result lies, and for programs what it is."""
    click.echo(json.dumps({"output": str(output), **found}) if asked["as_json"] else output)
