"""The commands jaxgen plot and noise-gif: draw a run's curves, and how noise is added to images."""

from __future__ import annotations

from pathlib import Path

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import TableOption, data_dir_option
from jaxgen.cli.types import PATH, SEED, IntRange


@command(doing="drawing")
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, help="Where to write the PNG.  [default: RUN/curves.png]")
def plot(run: Path, output: Path | None) -> None:
    """Draw the curves of a run: loss, its terms, learning rate, speed.

    \b
    jaxgen plot runs/ddpm-mnist
    """
    from jaxgen.images import save_png
    from jaxgen.inference.writers import checked
    from jaxgen.plots import draw_curves
    from jaxgen.runs.metrics import read_curves

    curves = read_curves(run / "metrics.jsonl")
    output = checked(output or run / "curves.png", ".png")
    save_png(output, draw_curves(curves, run.resolve().name))
    click.echo(output)


@command("noise-gif", doing="drawing")
@click.argument("images", nargs=-1, type=PATH)
@click.option("--dataset", metavar="NAME", help="Take images of a dataset instead of files.")
@data_dir_option
@click.option("-n", "--count", type=IntRange(1, 256), default=16, help="How many images of the dataset to take.")
@click.option("--schedule", cls=TableOption, default="linear", metavar="NAME", help="How noise is added: {schedules}.")
@click.option("--steps", type=IntRange(1, 100_000), default=1000, help="How many steps it takes from image to noise.")
@click.option("--frames", type=IntRange(2, 500), default=40, help="How many frames the GIF has.")
@click.option("--seed", type=SEED, default=0, help="The seed of the noise.")
@click.option("-o", "--output", type=PATH, default=Path("noise.gif"), help="Where to write the GIF.")
def noise_gif(
    images: tuple[Path, ...],
    dataset: str | None,
    data_dir: Path | None,
    count: int,
    schedule: str,
    steps: int,
    frames: int,
    seed: int,
    output: Path,
) -> None:
    """Show how images become noise, the process that a diffusion model learns to reverse.

    \b
    jaxgen noise-gif photo.png -o noise.gif
    jaxgen noise-gif --dataset digits -n 16 --schedule cosine
    """
    import numpy as np

    from jaxgen.errors import UsageError
    from jaxgen.files import check_writable
    from jaxgen.images import grid, save_gif
    from jaxgen.sampling.forward_process import noising
    from jaxgen.sampling.plan import alpha_bar

    if bool(images) == bool(dataset):
        raise UsageError("give image files, or --dataset")
    if output.suffix.lower() != ".gif":
        raise UsageError(f"-o takes a FILE.gif, got {output}")
    check_writable(output)
    kept = alpha_bar(schedule, steps)
    if dataset:
        from jaxgen import data

        clean = data.load(dataset, data_dir=data_dir).images[:count]
    else:
        from jaxgen.data.image_files import read_images

        clean = read_images(images)
    save_gif(output, np.stack([grid(frame) for frame in noising(clean, kept, frames, seed=seed)]))
    click.echo(output)
