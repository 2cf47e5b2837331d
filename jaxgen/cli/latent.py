"""The commands jaxgen latent interpolate, reconstruct, encode, traverse and inpaint: images from latents, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jaxgen.cli.help import group
from jaxgen.cli.latent_analysis import anomaly, classify, cluster, map_
from jaxgen.cli.latent_options import (
    OF_IMAGES,
    images_options,
    labels_of_seeds,
    model_options,
    open_space,
    output_option,
    plan_options,
    read_images,
    read_start,
    refine_option,
    refuse,
    report,
    write,
)
from jaxgen.cli.options import model_argument, sampler_option
from jaxgen.cli.types import PATH, SEED, FloatRange, IntRange
from jaxgen.errors import UsageError


@group()
def latent() -> None:
    """Latents: encode, interpolate, reconstruct, score and tell apart.

    A latent is the code of a VAE or GAN, or the noise from which a diffusion model samples. Images are files, folders
    or .npy arrays, or those of a --dataset. They are cropped to the square in their middle and made as large as the
    model's; what is transparent becomes black behind a light drawing, white behind a dark one.
    """


@latent.command()
@model_argument
@images_options(2)
@click.option("--seeds", default="0,1", metavar="A,B,...", help="Walk between these seeds, if no images are given.")
@click.option("-n", "--rows", type=IntRange(1, 256), default=4, help="How many images of each seed to walk between.")
@click.option("--frames", type=IntRange(2, 1000), default=10, help="How many images a walk has.")
@click.option(
    "--path",
    type=click.Choice(["spherical", "linear"]),
    default="spherical",
    help="How to go from one latent to the next.",
)
@plan_options("1 between images, the model's between seeds")
@refine_option
@model_options
@output_option("interpolation.png", "FILE.png, FILE.gif or FILE.npy.")
def interpolate(model: Path, seeds: str, rows: int, frames: int, path: str, output: Path, **options: Any) -> None:
    """Walk between seeds, or between images.

    The way leads through latent space, so what lies between is sampled and not blended. --label takes one class, one
    for each seed or image, which then changes halfway, or one for each row.

    \b
    jaxgen latent interpolate model.onnx --seeds 0,1 -n 4 -o walk.png
    jaxgen latent interpolate cvae-mnist --seeds 0,1 --label 7,1 -o walk.gif
    jaxgen latent interpolate model.onnx seven.png one.png -o walk.gif
    jaxgen latent interpolate conditional.onnx seven.png one.png --label 7,1
    """
    from jaxgen.inference import writers
    from jaxgen.latent import interpolation
    from jaxgen.latent.interpolation import PATHS

    way = PATHS[path]
    writers.checked(output, ".png", ".gif", ".npy")
    by_seed = not (options["images"] or options["dataset"])
    made: dict[str, Any] = {"frames": frames, "path": path}
    images, results = None, {}
    if by_seed:
        refuse("needs images to walk between, and none are given", *OF_IMAGES, "refine")
        chosen = interpolation.seed_numbers(seeds)
        writers.require_room(output, rows * (len(chosen) - 1), frames)
        space = open_space(model, options, exact=False)
        label = labels_of_seeds(space, len(chosen), rows, options["label"])
        walked = interpolation.between_seeds(space, chosen, rows, frames, way, label)
        made |= {"seeds": chosen, "rows": rows}
    else:
        refuse("the walk is between the given images", "seeds", "rows")
        space = open_space(model, options)
        images = read_images(space, options)
        writers.require_room(output, len(images) - 1, frames)
        walked = interpolation.between_images(
            space, images.images, frames, way, space.labels(len(images), options["label"], images)
        )
        results["images"] = images.names
    write(space, output, interpolation.laid_out(walked, output), options, made, images=images, results=results)


@latent.command()
@model_argument
@images_options(16)
@plan_options()
@refine_option
@model_options
@output_option("reconstruction.png", "Originals above what becomes of them: FILE.png; these alone: FILE.npy.")
def reconstruct(model: Path, output: Path, **options: Any) -> None:
    """Encode images and decode them again.

    \b
    jaxgen latent reconstruct model.onnx seven.png
    jaxgen latent reconstruct model.onnx --dataset mnist --count 16
    """
    import numpy as np

    from jaxgen.images import side_by_side
    from jaxgen.inference import writers

    is_sheet = writers.checked(output, ".png", ".npy").suffix.lower() == ".png"
    space = open_space(model, options)
    images = read_images(space, options)
    columns = min(len(images), 16)
    if is_sheet:
        writers.require_room(output, 2 * -(-len(images) // columns), columns)
    label = space.labels(len(images), options["label"], images)
    again = space.decode(space.encode(images.images, label), label)
    error = np.abs(again.astype(float) - images.images).mean((1, 2, 3)) / 255
    rows = side_by_side(columns, images.images, again) if is_sheet else again[None]
    click.echo(f"mean absolute error {error.mean():.4f}, pixels being from 0 to 1", err=True)
    each = [{"image": name, "mean_absolute_error": far} for name, far in zip(images.names, error.tolist(), strict=True)]
    mean = float(error.mean())
    write(space, output, rows, options, {}, images=images, results={"mean_absolute_error": mean, "images": each})


@latent.command()
@model_argument
@images_options(None)
@plan_options()
@refine_option
@model_options
@output_option("latents.npy", "FILE.npy: float32, one row an image.")
def encode(model: Path, output: Path, **options: Any) -> None:
    """Write the latents of images.

    They are a VAE's means, or the noise from which a diffusion model samples the images.

    \b
    jaxgen latent encode model.onnx --dataset mnist -o latents.npy
    jaxgen latent encode model.onnx seven.png -o noise.npy
    """
    from jaxgen.inference import writers

    writers.checked(output, ".npy")
    space = open_space(model, options)
    images = read_images(space, options)
    latents = space.encode(images.images, space.labels_to_encode(images, options["label"]))
    writers.write_array(output, latents)
    results = {"shape": list(latents.shape), "mean": float(latents.mean()), "deviation": float(latents.std())}
    report(options, output, {"model": space.model.artifact.sha256, **results, "images": images.names})


@latent.command()
@model_argument
@images_options(1)
@click.option(
    "--seed", type=SEED, help="Start from this seed's image.  [default: a VAE from the middle of the prior, a GAN 0]"
)
@click.option(
    "--dimensions", metavar="I,J,...", help="Which dimensions to sweep.  [default: the 32 that change the image most]"
)
@click.option("--reach", type=FloatRange(0, 100, min_open=True), default=3.0, help="Sweep from -REACH to REACH.")
@click.option("--frames", type=IntRange(2, 200), default=11, help="How many images of each dimension.")
@model_options
@output_option("traversal.png", "A dimension a row: FILE.png; all at once: FILE.gif; FILE.npy.")
def traverse(
    model: Path, seed: int | None, dimensions: str | None, reach: float, frames: int, output: Path, **options: Any
) -> None:
    """Sweep each dimension of a code, that of one image, say.

    The others are left as they are.

    \b
    jaxgen latent traverse model.onnx --reach 3 -o traversal.png
    jaxgen latent traverse model.onnx seven.png -o traversal.gif
    """
    from jaxgen.inference import writers
    from jaxgen.latent import interpolation

    writers.checked(output, ".png", ".gif", ".npy")
    space = open_space(model, options)
    codes = space.codes()
    chosen = None if dimensions is None else interpolation.dimension_numbers(dimensions, codes.shape[0])
    writers.require_room(output, len(chosen or range(min(codes.shape[0], interpolation.DIMENSIONS))), frames)
    images = read_start(space, options)
    if seed is None and images is None and space.model.inference.likelihood is None:
        seed = 0  # a GAN never saw the middle of its prior, and generates nothing there
    label = space.labels(1, options["label"], images)
    start = interpolation.start(codes, images, seed, label)
    chosen = chosen or interpolation.strongest(codes, start, reach, label)
    rows = interpolation.traversal(codes, start, chosen, reach, frames, label)
    click.echo(f"dimensions, in this order: {', '.join(map(str, chosen))}", err=True)
    made = {"seed": seed, "dimensions": chosen, "reach": reach, "frames": frames}
    titles = [f"dimension {number}" for number in chosen]
    write(space, output, rows, options, made, images=images, titles=titles)


@latent.command()
@model_argument
@click.argument("image", type=PATH)
@click.option(
    "--mask", default="bottom", help="Where to fill: an image, light there, or top, bottom, left, right, center."
)
@click.option("-n", "--count", type=IntRange(1, 256), default=7, help="How many ways there are to fill it.")
@click.option("--seed", type=SEED, default=0, help="The same seed fills it in the same ways.")
@click.option("--resample", type=IntRange(1, 50), default=5, help="How often each step is run, to fit the known.")
@sampler_option
@click.option("--invert", is_flag=True, help="Swap dark and light, as for a digit drawn on paper.")
@plan_options("the model's")
@model_options
@output_option("inpainting.png", "The image, what is kept of it, ways to fill it: FILE.png; these alone: FILE.npy.")
def inpaint(
    model: Path, image: Path, mask: str, count: int, seed: int, resample: int, sampler: str | None, invert: bool,
    output: Path, **options: Any,
) -> None:  # fmt: skip
    """Fill part of an image anew.

    What is known of it stays as it is, pixel for pixel.

    \b
    jaxgen latent inpaint model.onnx seven.png --mask bottom -n 7
    """
    import numpy as np

    from jaxgen.images import BACKGROUND
    from jaxgen.inference import writers
    from jaxgen.latent import inpainting, inputs

    writers.checked(output, ".png", ".npy")
    space = open_space(model, options, exact=False).noises()
    images = inputs.Images.from_files([image], space.model.shape, invert=invert)
    if len(images) > 1:
        raise UsageError(f"inpainting is of one image, and {image} holds {len(images)}")
    original = images.images[0]
    unknown = inputs.mask(mask, space.model.shape)
    recipe = space.model.recipe(sampler=sampler, steps=options["steps"])
    filled = inpainting.inpaint(
        space.model, original, unknown, space.model.plan(**recipe._asdict()), seed=seed, index=np.arange(count),
        label=space.labels(count, options["label"]), guidance=options["guidance"], resample=resample,
    )  # fmt: skip
    kept = np.where(unknown[..., None], BACKGROUND, original).astype(np.uint8)
    rows = filled if output.suffix.lower() == ".npy" else np.concatenate([[original, kept], filled])
    made = {"seed": seed, "count": count, "mask": mask, "resample": resample, **recipe._asdict()}
    write(space, output, rows[None], options, made, images=images)


for command in (anomaly, cluster, classify, map_):
    latent.add_command(command)
