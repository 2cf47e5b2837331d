"""The commands jaxgen info, verify and bench: describe a model file, check it on this machine, measure its speed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import RUN_OR_MODEL, json_option, model_argument, runtime_options
from jaxgen.cli.run_files import file_of
from jaxgen.cli.types import IntRange, ModelPath

if TYPE_CHECKING:
    from jaxgen.inference.runtime import How


@command(doing="reading")
@click.argument("model", metavar=f"{RUN_OR_MODEL}|IMAGE.png", type=ModelPath())
@json_option
def info(model: Path, as_json: bool) -> None:
    """Describe a model file, or how an image was made: as a summary, or as the JSON that it holds.

    Of a model, the first lines say what it is. "recorded" is its training config, as the jaxgen that trained it wrote
    it; it is not needed to run the file. An image is a PNG that jaxgen wrote; 'jaxgen replay' samples it again.

    \b
    jaxgen info model.onnx
    jaxgen info grid.png
    """
    from jaxgen.cli.image_summary import image_summary
    from jaxgen.cli.summary import summary
    from jaxgen.inference import model_file as artifacts

    if model.suffix.lower() == ".png":
        from jaxgen.inference.provenance import read_provenance

        rows: Mapping[str, Any] = read_provenance(model)
        shown = image_summary(rows, model)
    else:
        artifact = artifacts.read(file_of(model))
        rows, shown = artifact.manifest, {} if as_json else summary(artifact)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for key, value in shown.items():
        click.echo("".join(c if c.isprintable() else ascii(c)[1:-1] for c in f"{key:12}{value}"))


@command(doing="verifying")
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

    result = verify_model(opened(model_file.read(file_of(model)), **how))
    if as_json:
        click.echo(json.dumps(result))
    elif result["same"]:
        click.echo(f"verified: {result['line']}")
    if not result["same"]:
        raise JaxgenError(f"{model} does not reproduce its certificate on this machine: {result['line']}")


@command(doing="measuring")
@model_argument
@click.option("--batch-sizes", default="1,8,64", metavar="N,N,...", help="How many images to sample at a time.")
@click.option("--steps", default="10,50", metavar="S,S,...", help="How many steps the plan has, if the model has one.")
@click.option("--repeats", type=IntRange(1, 100), default=5, help="How often each is run; the median is printed.")
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
    from jaxgen.errors import MissingExtra, extra, install
    from jaxgen.inference import benchmark as benches
    from jaxgen.inference.model import Model
    from jaxgen.inference.runtime import other

    def say(line: str) -> None:
        click.echo(line, err=True)

    sizes, counts = benches.numbers(batch_sizes, "--batch-sizes"), benches.numbers(steps, "--steps")
    threads = how["threads"]
    loaded, name = Model.open(file_of(model), threads=threads), other(how)
    runtimes = {"onnxruntime": benches.sample_function(loaded)}
    if name is not None:
        runtimes[name] = benches.sample_function(Model.of(loaded.artifact, **how))
    if not only_onnxruntime:
        try:
            with extra("export"):
                from jaxgen_export.benchmark import rival_samplers
            say("preparing PyTorch, TorchScript and JAX; each is compiled before it is measured")
            runtimes |= rival_samplers(loaded, threads)
        except MissingExtra:
            say(f"onnxruntime only; for PyTorch, TorchScript and JAX: {install('export')}")
    result = benches.bench(
        loaded, runtimes, batch_sizes=sizes, steps=counts, repeats=repeats, threads=threads, say=say
    )  # fmt: skip
    click.echo(json.dumps(result, indent=2) if as_json else benches.table(result))
