"""The options that commands of `jaxgen latent` share, and the latents and images that they name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from jaxgen.cli.options import data_dir_option, dataset_names, json_option, runtime_options, steps_option
from jaxgen.cli.run_files import file_of
from jaxgen.cli.types import PATH, FloatRange, IntRange, completes
from jaxgen.errors import UsageError

if TYPE_CHECKING:
    from jaxgen.latent.inputs import Images
    from jaxgen.latent.spaces import Space

OF_DATASETS = ("split", "first", "count", "data_dir")
OF_IMAGES = ("images", "dataset", *OF_DATASETS, "invert", "encoder")
NAMED = 20  # images, at most, that a PNG says it is of: it keeps so many letters and no more
NOT_RECORDED = {
    "model",
    "output",
    "image",
    "images",
    "data_dir",
    "encoder",
    "threads",
    "runtime",
    "provider",
    "as_json",
}  # see `provenance`


def output_option(default: str, what: str) -> Callable:
    """-o, with the help `what`."""
    return click.option("-o", "--output", type=PATH, default=default, help=what)


def together(*options: Callable) -> Callable:
    def apply(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


model_options = together(
    click.option(
        "--label", metavar="CLASS[,...]", help="The class of the images, by number or name, or one for each: 7,1."
    ),
    runtime_options,
    json_option,
)
encoder_option = click.option("--encoder", type=PATH, help="The encoder of a VAE.  [default: MODEL.encoder.onnx]")
refine_option = click.option(
    "--refine", type=IntRange(0, 20), default=1, help="How often a step is corrected when a plan is reversed."
)
dataset_option = click.option(
    "--dataset", metavar="NAME", shell_complete=completes(dataset_names),
    help="Take images and labels of a dataset, in place of files.",
)  # fmt: skip


def plan_options(guidance: str = "1") -> Callable:
    """--steps and --guidance; guidance: its default in the help."""
    guided = f"Pull images towards their class.  [default: {guidance}]"
    return together(
        steps_option,
        click.option("--guidance", type=FloatRange(0, 100), help=guided),
    )


def count_option(count: int | None, what: str = "Read this many images at most.") -> Callable:
    """--count; count: the default, None for all images."""
    return click.option("--count", type=IntRange(1), default=count, help=what + ("" if count else "  [default: all]"))


def dataset_options(count: int | None) -> Callable:
    return together(
        dataset_option,
        click.option("--split", default="test", help="Which split of the dataset to take: train or test."),
        click.option("--first", type=IntRange(0), default=0, help="Start at this image of the split."),
        count_option(count),
        data_dir_option,
    )


def images_options(count: int | None) -> Callable:
    return together(
        click.argument("images", nargs=-1, type=PATH),
        dataset_options(count),
        click.option("--invert", is_flag=True, help="Swap dark and light, as for a digit drawn on paper."),
        encoder_option,
    )


def open_space(model: Path, options: dict[str, Any], exact: bool = True) -> Space:
    """Open the latent space of a model.

    exact: encoded images are to decode to themselves, rather than a seed's image to equal that of `jaxgen sample`.
    """
    from jaxgen.latent.spaces import open_space as opened

    space = opened(
        file_of(model), encoder=options.get("encoder"), steps=options.get("steps"), guidance=options.get("guidance"),
        refine=options.get("refine", 0), exact=exact, **options["how"],
    )  # fmt: skip
    if space.model.inference.process is None:
        refuse("a model without a plan has nothing to refine", "refine")
    return space


def labels_of_seeds(space: Space, seeds: int, rows: int, text: str | None) -> Any:
    """The classes of a walk between seeds, [rows, seeds] int: one for all, for each seed or for each row of images.

    None for an unconditional model. Raises UsageError for another number of classes.
    """
    import numpy as np

    words = 1 if text is None or text in space.model.classes else len(text.split(","))
    by_row = text is None or words not in (1, seeds)
    if by_row and words not in (1, rows):
        raise UsageError(f"--label takes 1 class, {seeds}, one for each seed, or {rows}, one for each row: got {words}")
    labels = space.labels(rows if by_row else seeds, text)
    if labels is None:
        return None
    return np.broadcast_to(labels[:, None] if by_row else labels, (rows, seeds))


def refuse(reason: str, *names: str) -> None:
    """Raise UsageError if one of these parameters was given, which would change nothing."""
    for parameter in click.get_current_context().command.params:
        if parameter.name in names and _given(parameter.name):
            raise UsageError(f"{parameter.opts[-1]}: {reason}")


def _given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def read_images(space: Space, options: dict[str, Any]) -> Images:
    """Read the named files or dataset; nothing is read if the model cannot encode it."""
    from jaxgen.latent.inputs import Images

    space.require_way_back()
    if options["images"] and options["dataset"]:
        raise UsageError("give images or --dataset, not both")
    if not options["dataset"]:
        refuse("needs --dataset; of files, all images are read", *OF_DATASETS)
        return Images.from_files(options["images"], space.model.shape, invert=options["invert"])
    return Images.from_dataset(
        options["dataset"], space.model.shape, split=options["split"], first=options["first"], count=options["count"],
        data_dir=options["data_dir"], invert=options["invert"],
    )  # fmt: skip


def read_start(space: Space, options: dict[str, Any]) -> Images | None:
    """The image to start from, if one is named; prints a note where a class is needed and none is given.

    Raises UsageError on several images.
    """
    if options["images"] or options["dataset"]:
        refuse("the traversal starts from the given image", "seed")
        images = read_images(space, options)
        if len(images) > 1:
            raise UsageError(f"a traversal starts from one image, got {len(images)}; name one, or leave out --count")
        return images
    refuse("needs images, and none are given", *OF_IMAGES)
    if options["label"] is None and space.model.least_label == 0 and space.model.classes:
        click.echo(f"note: of class {space.model.classes[0]}; --label takes another", err=True)
    return None


def provenance(space: Space, images: Images | None, made: dict[str, Any]) -> dict[str, Any]:
    """The provenance of an image for its PNG: the command, its options, and the settings that follow from them.

    images: those it is made from, if any, named unless a dataset's numbers do so; made: settings that complete the
    given options; None: left out.
    """
    from jaxgen.inference.provenance import LatentProvenance

    context = click.get_current_context()
    dataset = context.params.get("dataset")
    options = {
        name: value
        for name, value in context.params.items()
        if name not in NOT_RECORDED and ((dataset and name in OF_DATASETS) or _given(name))
    }
    of = {} if dataset or images is None else {"images": images.names[:NAMED]}
    settings = options | space.settings | of | made | {"untrained": space.model.untrained or None}
    command = context.info_name or ""
    return LatentProvenance(model=space.model.artifact.sha256, command=command, settings=settings).record()


def write(
    space: Space, output: Path, rows: Any, options: dict[str, Any], made: dict[str, Any], *,
    images: Images | None = None, titles: Sequence[str] | None = None, results: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write rows of images, each with its title, and report them.

    images, made: see `provenance`; results: more for the report.
    """
    from jaxgen.inference.writers import write_rows

    write_rows(output, rows, provenance(space, images, made), titles, untrained=space.model.untrained)
    report(options, output, {"model": space.model.artifact.sha256} | made | (results or {}))


def report(options: dict[str, Any], output: Path, results: dict[str, Any]) -> None:
    """Print the output's path, or with --json the results as well."""
    click.echo(json.dumps({"output": str(output), **results}) if options["as_json"] else output)


def aligned(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as text: the first column to the left, the others to the right."""
    lines = [[*head], *([cell if isinstance(cell, str) else f"{cell:g}" for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )
