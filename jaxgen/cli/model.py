"""jaxgen info, verify, bench: what a model file is, whether it draws here what it drew there, and how fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jaxgen.cli.options import json_option, model_argument, threads_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxgen.config import Process
    from jaxgen.inference.model_file import Artifact


@click.command()
@model_argument
@json_option
def info(model: Path, as_json: bool) -> None:
    """Say what a model file is: its manifest, in short or as JSON.

    \b
    jaxgen info model.onnx
    """
    from jaxgen.inference import model_file as artifacts

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

    Exit code 3 if they are not the same: at least 99.5 % of pixels equal, none off by more than 2. An encoder or a
    classifier reads the certificate's pictures instead, and gives the same numbers within 1e-4.

    \b
    jaxgen verify model.onnx
    """
    from jaxgen.errors import JaxgenError
    from jaxgen.inference import model_file
    from jaxgen.inference.verify import verify as verify_model

    result = verify_model(model_file.read(model), threads=threads)
    if as_json:
        click.echo(json.dumps(result))
    elif result["same"]:
        click.echo(f"verified: {result['line']}")
    if not result["same"]:
        raise JaxgenError(f"{model} does not give on this machine what its certificate says: {result['line']}")


@click.command()
@model_argument
@click.option("--batch-sizes", default="1,8,64", metavar="N,N,...", help="Pictures a call.")
@click.option("--steps", default="10,50", metavar="S,S,...", help="Steps of the plan, for models that have one.")
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
    from jaxgen.errors import MissingExtra, extra
    from jaxgen.inference import benchmark as benches
    from jaxgen.inference.sampler import Sampler

    def say(line: str) -> None:
        click.echo(line, err=True)

    sizes, counts = benches.numbers(batch_sizes, "--batch-sizes"), benches.numbers(steps, "--steps")
    sampler = Sampler.open(model, threads=threads)
    runtimes = {"onnxruntime": benches.onnxruntime_draw(sampler)}
    if not only_onnxruntime:
        try:
            with extra("export"):
                from jaxgen_export.benchmark import rival_draws
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
    from jaxgen.inference.model import config_of, kind_of
    from jaxgen.sampling import sampler_spec

    config, training = config_of(artifact), artifact.value("training", dict)
    data, process = config.data, config.process
    rows = {
        "model": f"{config.name} ({config.family}), {artifact.value('weights.parameters', int):,} parameters",
        "does": "draws" if kind_of(artifact) == "sampler" else f"reads pictures: {kind_of(artifact)}",
        "pictures": f"{data.size}x{data.size}x{data.channels}",
        "classes": ", ".join(map(str, artifact.value("classes", list))) or "none (unconditional)",
        "trained on": _training(data.dataset, training),
    }
    if process is not None:
        name, chosen = type(process).__name__.removesuffix("Config").lower(), sampler_spec.choose(process)
        rows["process"] = f"{name}: " + ", ".join(_process_words(process))
        rows["default"] = f"{chosen.sampler}, {chosen.steps} steps"
        rows["plans"] = ", ".join(artifact.value("plans", dict))
    return rows | {
        "file": f"{len(artifact.data) / 1e6:.1f} MB, by jaxgen {artifact.version}",
        "sha256": artifact.sha256,
        "certificate": _certificate(artifact),
    }


def _process_words(process: Process) -> list[str]:
    """What a process is, in a few words: its settings but for those of the default plan."""
    from dataclasses import asdict

    shown = ("schedule", "steps", "prediction", "times")
    names = {"steps": "T = ", "prediction": "predicts "}
    return [f"{names.get(key, '')}{value}" for key, value in asdict(process).items() if key in shown]


def _training(dataset: str, facts: Mapping[str, object]) -> str:
    if facts.get("untrained"):
        return f"nothing: these are fresh weights (made for {dataset})"
    steps, loss = _number(facts.get("steps"), ","), _number(facts.get("test_loss"), ".4f")
    here = f"{dataset}, {steps or 'unknown'} steps, test loss {loss or 'not measured'}"
    source = facts.get("imported")
    if not isinstance(source, dict):
        return here
    foreign = f"unknown data, elsewhere: imported from {source.get('file')!a}, SHA-256 {source.get('sha256')!a}"
    return f"{foreign}; then {here}" if facts.get("steps") else foreign


def _certificate(artifact: Artifact) -> str:
    """The worst row of a file's certificate, in words."""
    from jaxgen.errors import JaxgenError
    from jaxgen.inference.model import kind_of
    from jaxgen.inference.verify import worst

    if artifact.value("training", dict).get("untrained"):
        return "none"
    trajectories = artifact.value("certificate.trajectories", list)
    draws = kind_of(artifact) == "sampler"
    try:
        if draws and not trajectories:
            raise ValueError("it compares no pictures")
        rows = list(worst(artifact.value("certificate", dict)).values())
        relative = max(row["relative"] for row in rows)
        if not draws:
            return f"one evaluation within {relative:.1e} of JAX's"
        identical, off_by = min(row["identical"] for row in rows), max(row["off_by"] for row in rows)
    except (KeyError, TypeError, ValueError) as err:
        raise JaxgenError(f"{artifact.path}: its certificate is not understood: {err!r}") from err
    return (
        f"{identical:.3%} of pixels identical to JAX's or more, off by at most {off_by}, "
        f"in {len(trajectories)} comparisons"
    )


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else ""
