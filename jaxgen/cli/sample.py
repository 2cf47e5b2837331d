"""The commands jaxgen sample and replay: sample images from a model file, once and again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import (
    RUN_OR_MODEL,
    TableOption,
    json_option,
    preset_names,
    runtime_options,
    sampler_option,
    spacing_option,
    steps_option,
)
from jaxgen.cli.progress import current
from jaxgen.cli.run_files import file_of
from jaxgen.cli.types import PATH, SEED, FloatRange, IntRange, ModelPath, Word, completes

if TYPE_CHECKING:
    from jaxgen.inference.model import Model
    from jaxgen.inference.model_file import Artifact
    from jaxgen.inference.request import Request
    from jaxgen.inference.runtime import How
    from jaxgen.inference.writers import Writer


@command(doing="sampling")
@click.argument("model", metavar=RUN_OR_MODEL, required=False, type=ModelPath())
@click.option(
    "--preset",
    metavar="NAME",
    shell_complete=completes(preset_names),
    help="With --untrained, in place of a model: random weights of this preset. Needs jaxgen's extra export.",
)
@click.option("--untrained", is_flag=True, help="Sample with the random weights of --preset; images say so.")
@click.option("-n", "--count", type=IntRange(1, 1_000_000), default=64, help="How many images to sample.")
@click.option(
    "--seed", type=Word(is_random=True), default="0",
    help="The same seed gives the same images everywhere; 'random' chooses one and prints it.",
)  # fmt: skip
@click.option("--first", type=SEED, default="0", help="Start at this image of the seed; later ones are the same.")
@click.option(
    "--label",
    metavar="CLASS[,...]",
    help="Sample this class, by name or number (#2 where 2 is a name, too); several, as 3,7, or 'all' take turns.  "
    "[default: none, or all if the model requires a class]",
)
@click.option("--guidance", type=FloatRange(0, 100), help="Pull images towards their class.  [default: the model's]")
@sampler_option
@steps_option
@spacing_option
@click.option(
    "--eta",
    cls=TableOption,
    type=FloatRange(0, 1),
    help="How much fresh noise {eta_samplers} adds on its way.  [default: the model's]",
)
@click.option(
    "--scale", type=IntRange(1, 256),
    help="Make each pixel a square of so many.  [default: 56 pixels an image of a sheet, 256 of a single one]",
)  # fmt: skip
@click.option(
    "--columns", type=IntRange(1, 4096),
    help="Images in a row of a sheet.  [default: as many as make it square, or as the classes that take turns]",
)  # fmt: skip
@click.option(
    "--palette", metavar="FILE|model",
    help="Snap each pixel to the nearest colour of a PNG, of a list of #rrggbb, or of the model's data.",
)  # fmt: skip
@click.option("--batch-size", type=IntRange(1, 4096), default=64, help="How many images are sampled at a time.")
@runtime_options
@click.option("--gif", is_flag=True, help="Show the denoising: short for -o denoise.gif.")
@click.option(
    "-o", "--output", metavar="PATH", help="FILE.png, .jpg, .npy, .gif, FOLDER/ or - (stdout).  [default: grid.png]"
)  # fmt: skip
@json_option
def sample(
    model: Path | None, preset: str | None, untrained: bool, palette: str | None, batch_size: int, how: How, gif: bool,
    output: str | None, scale: int | None, columns: int | None, as_json: bool, label: str | None, **wishes: Any,
) -> None:  # fmt: skip
    """Sample images from a model, with only NumPy and onnxruntime.

    The ending of -o selects the format: one sheet (.png, or - for stdout), a folder of images (ending in /), an array
    uint8 [N, H, W, C] (.npy), or an animation from noise to images (.gif). JPEGs (.jpg) are sheets, too, but are not
    exact and cannot be replayed. A single image is magnified, so that it can be seen: every pixel becomes a square of
    equal ones, and 'jaxgen replay' and the other commands read the image that it was; --scale 1 leaves it as it is.

    A RUN is exported first, once for each checkpoint, into the user's cache.

    --palette takes an image in PNG, a JSON list or a text of colours such as #638596, at most 256 of them, or "model":
    the colours of the data that the model was trained on, which files of pixel art hold. The share of pixels that lie
    on the palette before they are snapped goes to stderr.

    \b
    jaxgen sample cddpm-mnist --label all -n 60 -o digits.png
    jaxgen sample model.onnx -n 64 --seed random -o grid.png
    jaxgen sample runs/mine -n 16 --label 3,7 --columns 8
    jaxgen sample model.onnx --steps 8 --spacing karras
    jaxgen sample model.onnx -n 10000 --steps 20 --sampler dpmpp-2m -o images/
    jaxgen sample model.onnx -n 16 --gif
    jaxgen sample punks.onnx -n 64 --palette model

    \b
    jaxgen sample --preset gan-mnist --untrained        # needs JAX and PyTorch, unlike the others
    """
    from jaxgen.errors import UsageError
    from jaxgen.inference import writers
    from jaxgen.inference.model import Model
    from jaxgen.inference.model_file import read

    if gif and output and not output.lower().endswith(".gif"):
        raise UsageError(f"--gif writes a GIF, but -o names {output}")
    if output is None:
        output = "denoise.gif" if gif else "grid.png"
    if (model is None) == (preset is None) or untrained != (preset is not None):
        raise UsageError("give a MODEL.onnx, or --preset NAME with --untrained")
    if as_json and output == "-":
        raise UsageError("--json and -o - both write to stdout; name a file")
    writer = writers.writer_for(output, wishes["count"])
    if preset:
        click.echo(f"untrained: the weights of {preset} are random, so the images are meaningless", err=True)
    loaded = Model.of(read(file_of(model)) if model else _fresh(preset or ""), **how)
    request = writers.Request.checked(
        loaded, label=_classes(label, loaded.classes), layout=writers.Layout(columns, scale),
        palette=_colours(palette, loaded.artifact) if palette else (), **wishes,
    )  # fmt: skip
    _write(writer, loaded, request, batch_size, output, as_json)


def _write(
    writer: Writer, model: Model, request: Request, batch_size: int, output: str, as_json: bool
) -> None:  # fmt: skip
    """Sample, with a bar, and say what was written."""
    from dataclasses import replace

    bar = current()
    request = replace(request, progress=lambda done, total: bar.count("sampling", done, total))
    writer(model, request, batch_size, output)
    if request.palette:
        share = request.tally.shares / request.tally.images
        click.echo(f"palette: {share:.2%} of pixels lay on its {len(request.palette)} colours before", err=True)
    if as_json:
        shown = (
            request.on_a_sheet(model) if Path(output).suffix.lower() in (".png", ".jpg", ".jpeg", ".gif") else request
        )
        record = shown.provenance(model, request.first, request.count).record()
        click.echo(json.dumps({"output": output, **record}))
    elif output != "-":
        click.echo(output)


def _classes(label: str | None, classes: Sequence[str]) -> str | tuple[str, ...] | None:
    """What --label names: one class, 'all', or several with commas between; a class's own name may hold a comma."""
    if label is None or "," not in label or label in classes:
        return label
    return tuple(word.strip() for word in label.split(","))


def _colours(palette: str, artifact: Artifact) -> list[str]:
    """The colours of a palette's file, or those that a model's file holds."""
    from jaxgen import palettes
    from jaxgen.errors import UsageError

    if palette != "model":
        return palettes.to_text(palettes.read(palette))
    held = artifact.manifest.get("palette")
    if held is None:
        raise UsageError(
            f"--palette: {artifact.path} holds no palette, since its data has many colours, or it was trained by an "
            "earlier jaxgen; give a file of colours"
        )
    return palettes.to_text(palettes.of_text(held, f"{artifact.path}: its palette"))


def _fresh(preset_name: str) -> Artifact:
    """An untrained model of a preset, in memory only."""
    import tempfile

    from jaxgen.config.presets import preset
    from jaxgen.errors import UsageError, extra
    from jaxgen.inference.model_file import parse

    config = preset(preset_name)
    if not config.is_generator:
        raise UsageError(f"{preset_name} generates no images: it reads them")
    with extra("export"):
        from jaxgen.models.network import fresh
        from jaxgen_export.export import export_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        classes = [str(number) for number in range(config.class_count)]
        export_model(config, fresh(config), path, classes=classes, training={"untrained": True}, certify=False)
        return parse(path.read_bytes(), f"{preset_name} (untrained)")


@command(doing="sampling")
@click.argument("image", type=PATH)
@click.option("--model", required=True, type=ModelPath(), metavar=RUN_OR_MODEL, help="The model that sampled it.")
@runtime_options
@click.option("-o", "--output", type=PATH, help="Write the new image here, too.")
@json_option
def replay(image: Path, model: Path, how: How, output: Path | None, as_json: bool) -> None:
    """Sample an image again from the record in its PNG, and compare.

    \b
    jaxgen replay grid.png --model model.onnx
    """
    from jaxgen.files import check_writable
    from jaxgen.images import read_png, save_png
    from jaxgen.inference import writers
    from jaxgen.inference.provenance import provenance_text, read_provenance, require_replayable
    from jaxgen.inference.verify import compare_images

    if output:
        check_writable(output)
    provenance = read_provenance(image)
    require_replayable(provenance, str(image))
    resampled, comparison = writers.replay(image, provenance, file_of(model), **how)
    if output:
        save_png(output, resampled, provenance_text(provenance))
    result = {"same": True, "line": comparison, **compare_images(resampled, read_png(image))}
    click.echo(json.dumps(result) if as_json else comparison)
