"""The commands jaxgen info, verify and bench: describe a model file, check it on this machine, measure its speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jaxgen.cli.options import json_option, model_argument, runtime_options

if TYPE_CHECKING:
    from jaxgen.inference.runtime import How


@click.command()
@model_argument
@json_option
def info(model: Path, as_json: bool) -> None:
    """Describe a model file: its manifest, as a summary or as JSON.

    The first lines describe the model. "recorded" is its training config, as the jaxgen that trained it wrote it; it is
    not needed to run the file.

    \b
    jaxgen info model.onnx
    """
    from jaxgen.cli.summary import summary
    from jaxgen.inference import model_file as artifacts

    artifact = artifacts.read(model)
    if as_json:
        click.echo(json.dumps(artifact.manifest, indent=2))
        return
    for key, value in summary(artifact).items():
        click.echo("".join(c if c.isprintable() else ascii(c)[1:-1] for c in f"{key:12}{value}"))


@click.command()
@model_argument
@runtime_options
@json_option
def verify(model: Path, how: How, as_json: bool) -> None:
    """Sample the certificate's images here and compare them with those in the file.

    The same means at least 99.5 % of pixels equal and none off by more than 2, else the exit code is 3. An encoder or a
    classifier reads the certificate's images instead, and must give the same numbers within 1e-4.

    \b
    jaxgen verify model.onnx
    jaxgen verify model.onnx --runtime openvino
    """
    from jaxgen.errors import JaxgenError
    from jaxgen.inference import model_file
    from jaxgen.inference.opening import opened
    from jaxgen.inference.verify import verify as verify_model

    result = verify_model(opened(model_file.read(model), **how))
    if as_json:
        click.echo(json.dumps(result))
    elif result["same"]:
        click.echo(f"verified: {result['line']}")
    if not result["same"]:
        raise JaxgenError(f"{model} does not reproduce its certificate on this machine: {result['line']}")


@click.command()
@model_argument
@click.option("--batch-sizes", default="1,8,64", metavar="N,N,...", help="Images per call.")
@click.option("--steps", default="10,50", metavar="S,S,...", help="Steps of the plan, for models that have one.")
@click.option("--repeats", type=click.IntRange(1, 100), default=5, help="Runs of each; the median is printed.")
@runtime_options
@click.option("--only-onnxruntime", is_flag=True, help="Leave PyTorch, TorchScript and JAX out.")
@json_option
def bench(
    model: Path,
    batch_sizes: str,
    steps: str,
    repeats: int,
    how: How,
    only_onnxruntime: bool,
    as_json: bool,
) -> None:
    """Measure samples per second, in onnxruntime and, if installed, PyTorch, TorchScript and JAX.

    Another --runtime or --provider gets its own row.

    \b
    jaxgen bench model.onnx
    jaxgen bench model.onnx --runtime openvino --only-onnxruntime
    jaxgen bench model.onnx --batch-sizes 64 --steps 20 --threads 2
    """
    from jaxgen.errors import MissingExtra, extra, installing
    from jaxgen.inference import benchmark as benches
    from jaxgen.inference.model import Model
    from jaxgen.inference.runtime import other

    def say(line: str) -> None:
        click.echo(line, err=True)

    sizes, counts = benches.numbers(batch_sizes, "--batch-sizes"), benches.numbers(steps, "--steps")
    threads = how["threads"]
    loaded, name = Model.open(model, threads=threads), other(how)
    runtimes = {"onnxruntime": benches.sample_function(loaded)}
    if name is not None:
        runtimes[name] = benches.sample_function(Model.of(loaded.artifact, **how))
    if not only_onnxruntime:
        try:
            with extra("export"):
                from jaxgen_export.benchmark import rival_samplers
            say("preparing PyTorch, TorchScript and JAX")
            runtimes |= rival_samplers(loaded, threads)
        except MissingExtra:
            say(f"onnxruntime only; for PyTorch, TorchScript and JAX, {installing('export')}")
    result = benches.bench(
        loaded, runtimes, batch_sizes=sizes, steps=counts, repeats=repeats, threads=threads, say=say
    )  # fmt: skip
    click.echo(json.dumps(result, indent=2) if as_json else benches.table(result))
