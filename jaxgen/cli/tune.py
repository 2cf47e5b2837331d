"""The command jaxgen tune: search the plan of few steps that suits a model, and make it the file's own."""

from __future__ import annotations

from pathlib import Path

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import model_argument
from jaxgen.cli.run_files import file_of
from jaxgen.cli.types import ONNX, SEED, IntRange


@command(doing="searching")
@model_argument
@click.option("--steps", type=IntRange(2, 100), required=True, help="How often the plan evaluates the network.")
@click.option("-o", "--output", type=ONNX, required=True, help="Where to write the new model.")
@click.option("-n", "--count", type=IntRange(1, 4096), default=64, help="How many images to compare plans by.")
@click.option("--plans", type=IntRange(10, 100_000), default=200, help="How many plans to try at most.")
@click.option("--seed", type=SEED, default=1, help="The seed of the images to compare plans by.")
@click.option("--threads", type=IntRange(1, 1024), help="How many threads to use.  [default: as many as cores]")
def tune(model: Path, steps: int, output: Path, count: int, plans: int, seed: int, threads: int | None) -> None:
    """Search at which times a plan of few steps evaluates the network best, and make it the file's default plan.

    The best plan is the one whose images are nearest to the model's own of 200 steps, from the same noise. Its times
    are tried one after another, from the best of the known spacings; only plans that add no noise are. The weights stay
    as they are, and every other plan with them. The certificate gets the new plan's images in onnxruntime, once the
    file has reproduced its own. Needs no JAX: onnxruntime alone, a few seconds for 8x8 digits. The path goes to stdout.

    \b
    jaxgen tune model.onnx --steps 8 -o tuned.onnx
    """
    from jaxgen.errors import UsageError
    from jaxgen.files import check_writable, write_atomically
    from jaxgen.inference import tuned_file, tuning
    from jaxgen.inference.model import Model

    def say(line: str) -> None:
        click.echo(line, err=True)

    if output.resolve() == model.resolve():
        raise UsageError(f"-o: {output} is the file that is tuned")
    check_writable(output)
    loaded = Model.open(file_of(model), threads=threads)
    tuned_file.require_reproduced(loaded)  # before the search, not after it
    found = tuning.tune(loaded, steps, count=count, seed=seed, budget=plans, say=say)
    write_atomically(output, tuned_file.with_plan(loaded, found))
    before, after = found.record["before"], found.record["after"]
    say(
        f"{found.recipe.sampler}, {steps} steps: {after['error']:.4f} from the images of many steps, "
        f"{before['sampler']} {before['error']:.4f}; on {count} other images {after['others']:.4f} and "
        f"{before['others']:.4f}"
    )
    click.echo(output)
