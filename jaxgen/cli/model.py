"""jaxgen info, verify, bench: what a model file is, whether it draws here what it drew there, and how fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jaxgen.cli.options import json_option, model_argument, threads_option

if TYPE_CHECKING:
    from jaxgen.artifact import Artifact


@click.command()
@model_argument
@json_option
def info(model: Path, as_json: bool) -> None:
    """Say what a model file is: its manifest, in short or as JSON.

    \b
    jaxgen info model.onnx
    """
    from jaxgen import artifact as artifacts

    artifact = artifacts.read(model)
    if as_json:
        click.echo(json.dumps(artifact.manifest, indent=2))
        return
    for key, value in _summary(artifact).items():
        click.echo(f"{key:12}{value}")


@click.command()
@model_argument
@threads_option
@json_option
def verify(model: Path, threads: int | None, as_json: bool) -> None:
    """Draw the certificate's pictures here and compare them with those in the file.

    Exit code 3 if they are not the same: at least 99.5 % of pixels equal, none off by more than 2.

    \b
    jaxgen verify model.onnx
    """
    from jaxgen.errors import JaxgenError
    from jaxgen.parity import verify as verify_model
    from jaxgen.sampler import Sampler

    result = verify_model(Sampler.open(model, threads=threads))
    line = (
        f"{result['identical']:.3%} of pixels identical in {result['pictures']} pictures, "
        f"the largest difference is {result['off_by']}"
    )
    if as_json:
        click.echo(json.dumps(result))
    elif result["same"]:
        click.echo(f"verified: {line}")
    if not result["same"]:
        raise JaxgenError(f"{model} does not draw its certificate's pictures on this machine: {line}")


@click.command()
@model_argument
@click.option("--batch-sizes", default="1,8,64", metavar="N,N,...", help="Pictures a call.")
@click.option("--steps", default="10,50", metavar="S,S,...", help="Steps of the DDIM plan.")
@click.option("--repeats", type=click.IntRange(1, 100), default=5, help="Runs of each; the median is printed.")
@threads_option
@click.option("--only-onnxruntime", is_flag=True, help="Leave PyTorch, TorchScript and JAX out.")
@json_option
def bench(
    model: Path,
    batch_sizes: str,
    steps: str,
    repeats: int,
    threads: int | None,
    only_onnxruntime: bool,
    as_json: bool,
) -> None:
    """Measure samples per second, beside PyTorch, TorchScript and JAX where they are installed.

    \b
    jaxgen bench model.onnx
    jaxgen bench model.onnx --batch-sizes 64 --steps 20 --threads 2
    """
    from jaxgen import bench as benches
    from jaxgen.errors import MissingExtra, extra
    from jaxgen.sampler import Sampler

    def say(line: str) -> None:
        click.echo(line, err=True)

    sizes, counts = benches.numbers(batch_sizes, "--batch-sizes"), benches.numbers(steps, "--steps")
    sampler = Sampler.open(model, threads=threads)
    runtimes = {"onnxruntime": benches.onnxruntime_draw(sampler)}
    if not only_onnxruntime:
        try:
            with extra("export"):
                from jaxgen_export.bench import rival_draws
            say("preparing PyTorch, TorchScript and JAX")
            runtimes |= rival_draws(sampler, threads)
        except MissingExtra:
            say("onnxruntime alone; for PyTorch, TorchScript and JAX beside it: pip install 'jaxgen[export]'")
    result = benches.bench(
        sampler, runtimes, batch_sizes=sizes, steps=counts, repeats=repeats, threads=threads, say=say
    )  # fmt: skip
    click.echo(json.dumps(result, indent=2) if as_json else benches.table(result))


def _summary(artifact: Artifact) -> dict[str, str]:
    """A model file in a dozen lines."""
    from jaxgen.errors import JaxgenError
    from jaxgen.parity import worst
    from jaxgen.sampler import config_of

    config, training = config_of(artifact), artifact.value("training", dict)
    data, diffusion = config.data, config.diffusion
    trajectories = artifact.value("certificate.trajectories", list)
    try:
        if not trajectories:
            raise ValueError("it compares no pictures")
        rows = worst(artifact.value("certificate", dict)).values()
        identical, off_by = min(row["identical"] for row in rows), max(row["off_by"] for row in rows)
    except (KeyError, TypeError, ValueError) as err:
        raise JaxgenError(f"{artifact.path}: its certificate is not understood: {err!r}") from err
    return {
        "model": f"{config.name} ({config.family}), {artifact.value('weights.parameters', int):,} parameters",
        "pictures": f"{data.size}x{data.size}x{data.channels}",
        "classes": ", ".join(map(str, artifact.value("classes", list))) or "none (unconditional)",
        "trained on": f"{data.dataset}, {_number(training.get('steps'), ',') or 'unknown'} steps, "
        f"test loss {_number(training.get('test_loss'), '.4f') or 'not measured'}",
        "noise": f"{diffusion.schedule}, T = {diffusion.steps}, predicts {diffusion.prediction}",
        "default": f"{diffusion.sampler}, {diffusion.sampler_steps} steps",
        "plans": ", ".join(artifact.value("plans", dict)),
        "file": f"{len(artifact.data) / 1e6:.1f} MB, by jaxgen {artifact.version}",
        "sha256": artifact.sha256,
        "certificate": f"{identical:.3%} of pixels identical to JAX's or more, off by at most {off_by}, "
        f"in {len(trajectories)} comparisons",
    }


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else ""
