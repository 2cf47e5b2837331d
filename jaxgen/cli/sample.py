"""The commands jaxgen sample and replay: sample images from a model file, once and again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jaxgen.cli.options import MODEL, ModelPath, TableOption, runtime_options, spacing_option

if TYPE_CHECKING:
    from jaxgen.inference.model_file import Artifact
    from jaxgen.inference.runtime import How


@click.command()
@click.argument("model", metavar=MODEL, required=False, type=ModelPath(path_type=Path))
@click.option(
    "--preset",
    metavar="NAME",
    help="With --untrained, instead of MODEL.onnx: untrained weights of this preset. Needs jaxgen[export].",
)
@click.option("--untrained", is_flag=True, help="Sample with untrained weights; the images are marked as such.")
@click.option("-n", "--count", type=click.IntRange(1, 1_000_000), default=64, help="Number of images.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Same seed, same images, everywhere.")
@click.option("--first", type=click.IntRange(0, 2**32 - 1), default=0, help="Index of the first image of the seed.")
@click.option(
    "--label",
    metavar="CLASS",
    help="A class by name or number (#2 where 2 is a name, too), or 'all' in turn.  "
    "[default: none, or all if the model requires a class]",
)
@click.option("--guidance", type=click.FloatRange(0, 100), help="Pull towards the label.  [default: the model's]")
@click.option("--sampler", cls=TableOption, metavar="NAME", help="{samplers}.  [default: the model's]")
@click.option("--steps", type=click.IntRange(1), help="Network evaluations.  [default: the model's]")
@spacing_option
@click.option(
    "--eta",
    cls=TableOption,
    type=click.FloatRange(0, 1),
    help="Noise of {eta_samplers}, 0 to 1.  [default: the model's]",
)
@click.option(
    "--palette", metavar="FILE|model",
    help="Snap each pixel to the nearest colour of a PNG, of a list of #rrggbb, or of the model's data.",
)  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1, 4096), default=64, help="Images per call.")
@runtime_options
@click.option("--gif", is_flag=True, help="Show the denoising: short for -o denoise.gif.")
@click.option("-o", "--output", metavar="PATH", help="FILE.png, .jpg, .npy, .gif, FOLDER/ or -.  [default: grid.png]")
def sample(
    model: Path | None,
    preset: str | None,
    untrained: bool,
    count: int,
    seed: int,
    first: int,
    label: str | None,
    guidance: float | None,
    sampler: str | None,
    steps: int | None,
    spacing: str | None,
    eta: float | None,
    palette: str | None,
    batch_size: int,
    how: How,
    gif: bool,
    output: str | None,
) -> None:
    """Sample images from a model file, with only NumPy and onnxruntime, or with another --runtime.

    The ending of -o selects the format: one sheet (.png, or - for stdout), a folder of images (ending in /), an array
    uint8 [N, H, W, C] (.npy), or an animation from noise to images (.gif). JPEGs (.jpg) are sheets, too, but are not
    exact and cannot be replayed.

    --palette takes an image in PNG, a JSON list or a text of colours such as #638596, at most 256 of them, or "model":
    the colours of the data that the model was trained on, which files of pixel art hold. The share of pixels that lie
    on the palette before they are snapped goes to stderr.

    \b
    jaxgen sample model.onnx -n 64 --seed 7 -o grid.png
    jaxgen sample model.onnx --steps 8 --spacing karras
    jaxgen sample model.onnx -n 10000 --steps 20 --sampler dpmpp-2m -o images/
    jaxgen sample model.onnx -n 16 --gif
    jaxgen sample punks.onnx -n 64 --palette model
    jaxgen sample --preset gan-mnist --untrained
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
    writer = writers.writer_for(output, count)
    if preset:
        click.echo(f"untrained: the weights of {preset} are random, so the images are meaningless", err=True)
    loaded = Model.of(read(model) if model else _fresh(preset or ""), **how)
    request = writers.Request.checked(
        loaded,
        seed=seed,
        first=first,
        count=count,
        label=label,
        guidance=guidance,
        sampler=sampler,
        steps=steps,
        spacing=spacing,
        eta=eta,
        palette=_colours(palette, loaded.artifact) if palette else (),
    )
    writer(loaded, request, batch_size, output)
    if request.palette:
        share = request.tally.shares / request.tally.images
        click.echo(f"palette: {share:.2%} of pixels lay on its {len(request.palette)} colours before", err=True)
    if output != "-":
        click.echo(output)


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


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--model", required=True, type=ModelPath(path_type=Path), metavar=MODEL, help="Its model.")
@runtime_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the new image here.")
def replay(image: Path, model: Path, how: How, output: Path | None) -> None:
    """Sample an image again from the provenance in its PNG, and compare.

    \b
    jaxgen replay grid.png --model model.onnx
    """
    from jaxgen.files import check_writable
    from jaxgen.images import save_png
    from jaxgen.inference import writers
    from jaxgen.inference.provenance import provenance_text, read_provenance, require_replayable

    if output:
        check_writable(output)
    provenance = read_provenance(image)
    require_replayable(provenance, str(image))
    resampled, comparison = writers.replay(image, provenance, model, **how)
    if output:
        save_png(output, resampled, provenance_text(provenance))
    click.echo(comparison)
