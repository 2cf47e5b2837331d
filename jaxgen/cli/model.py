"""The commands jaxgen info, verify and bench: describe a model file, check it on this machine, measure its speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxgen.cli.options import json_option, model_argument, runtime_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxgen.inference.manifest import Inference
    from jaxgen.inference.model_file import Artifact
    from jaxgen.inference.runtime import How
    from jaxgen.sampling.process import Process


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
    from jaxgen.inference import model_file as artifacts

    artifact = artifacts.read(model)
    if as_json:
        click.echo(json.dumps(artifact.manifest, indent=2))
        return
    for key, value in _summary(artifact).items():
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
    from jaxgen.errors import MissingExtra, extra
    from jaxgen.inference import benchmark as benches
    from jaxgen.inference.runtime import other
    from jaxgen.inference.sampler import Model

    def say(line: str) -> None:
        click.echo(line, err=True)

    sizes, counts = benches.numbers(batch_sizes, "--batch-sizes"), benches.numbers(steps, "--steps")
    threads = how["threads"]
    sampler, name = Model.open(model, threads=threads), other(how)
    runtimes = {"onnxruntime": benches.sample_function(sampler)}
    if name is not None:
        runtimes[name] = benches.sample_function(Model.of(sampler.artifact, **how))
    if not only_onnxruntime:
        try:
            with extra("export"):
                from jaxgen_export.benchmark import rival_samplers
            say("preparing PyTorch, TorchScript and JAX")
            runtimes |= rival_samplers(sampler, threads)
        except MissingExtra:
            say("onnxruntime only; for PyTorch, TorchScript and JAX: pip install 'jaxgen[export]'")
    result = benches.bench(
        sampler, runtimes, batch_sizes=sizes, steps=counts, repeats=repeats, threads=threads, say=say
    )  # fmt: skip
    click.echo(json.dumps(result, indent=2) if as_json else benches.table(result))


def _summary(artifact: Artifact) -> dict[str, str]:
    """A summary of a model file, with its recorded training config."""
    inference = artifact.inference
    rows = {
        "model": _model(artifact),
        "does": _deed(inference),
        "images": "x".join(map(str, inference.image_shape)),
        "classes": ", ".join(inference.classes) or "none (unconditional)",
        "trained on": _training(artifact),
    }
    if inference.process is not None and inference.plan is not None:
        rows["process"] = _process(inference.process)
        rows["default"] = _default(inference)
        rows["plans"] = ", ".join(_object(artifact, "plans"))
    size, number = f"{len(artifact.data) / 1e6:.1f} MB", artifact.manifest["format"]
    if made_from := artifact.manifest.get("made_from"):
        rows["inputs"] = f"required; made from {str(made_from)[:64]!a}, whose inputs have defaults"
    rows |= _history(artifact) | {
        "file": f"{size}, format {number}, by jaxgen {artifact.version}",
        "sha256": artifact.sha256,
        "certificate": _certificate(artifact),
    }
    return rows | _record(artifact)


def _deed(inference: Inference) -> str:
    deeds = {"sampler": "generates images", "network": "evaluates the network once; the sampling loop is outside"}
    return deeds.get(inference.kind) or f"reads images: {inference.kind}"


def _object(artifact: Artifact, key: str) -> Mapping[str, Any]:
    """An object of the manifest outside its inference section; {} if it is missing."""
    value = artifact.manifest.get(key)
    return value if isinstance(value, dict) else {}


def _model(artifact: Artifact) -> str:
    name, family = artifact.fact("name", str), artifact.fact("family", str)
    parameters = _number(_object(artifact, "weights").get("parameters"), ",")
    named = f"{name or 'unnamed'} ({family})" if family else name or "unnamed"
    return f"{named}, {parameters or 'an unknown number of'} parameters"


def _process(process: Process) -> str:
    """A short description of a process."""
    from jaxgen.sampling.process import Diffusion, Unknown

    if isinstance(process, Unknown):
        return f"{process.kind}: not known to this jaxgen; it can run the default plan"
    if isinstance(process, Diffusion):
        return f"diffusion: T = {process.steps}, {process.schedule}, predicts {process.prediction}"
    return f"flow: time scale {process.time_scale:g}"


def _default(inference: Inference) -> str:
    assert inference.plan
    sampler, steps, eta = inference.plan
    guidance = inference.guidance
    return (
        f"{sampler}, {steps} steps"
        + (f", eta {eta:g}" if eta else "")
        + ("" if guidance is None else f", guidance {guidance:g}")
    )


def _training(artifact: Artifact) -> str:
    facts, dataset = _object(artifact, "training"), artifact.fact("data.dataset", str) or "unknown data"
    if facts.get("untrained"):
        return f"nothing: its weights are untrained (made for {dataset})"
    steps, loss = _number(facts.get("steps"), ","), _number(facts.get("test_loss"), ".4f")
    here = f"{dataset}, {steps or 'unknown'} steps, test loss {loss or 'not measured'}"
    source = facts.get("imported")
    if not isinstance(source, dict):
        return here
    foreign = f"unknown data, elsewhere: imported from {source.get('file')!a}, SHA-256 {source.get('sha256')!a}"
    return f"{foreign}; then {here}" if facts.get("steps") else foreign


def _history(artifact: Artifact) -> dict[str, str]:
    """The origin of a file that was composed or rewritten after its export."""
    rows, parent, resigned = {}, _object(artifact, "parent"), artifact.manifest.get("resigned")
    if parent:
        network = parent.get("network")
        tool = network.get("producer") if isinstance(network, dict) else None
        identical, relative = _number(parent.get("identical"), ".2%"), _number(parent.get("evaluation_relative"), ".1e")
        rows["made from"] = (
            f"{parent.get('sha256')!a}, with a network by {tool!a}: {identical or 'an unknown share'} of pixels "
            f"identical, one evaluation {relative or 'unknown'} away"
        )
    if isinstance(resigned, list):
        tools = [entry.get("producer") for entry in resigned if isinstance(entry, dict)]
        rows["rewritten"] = f"by {', '.join(map(ascii, tools))}, and measured again"
    return rows


def _certificate(artifact: Artifact) -> str:
    """A summary of a file's certificate, with its largest errors."""
    from jaxgen.inference.verify import worst

    certificate = _object(artifact, "certificate")
    if not certificate:
        return "none"
    is_sampler, trajectories = artifact.inference.kind == "sampler", certificate.get("trajectories") or []
    try:
        if is_sampler and not trajectories:
            raise ValueError("it compares no images")
        rows = list(worst(certificate).values())
        other = certificate.get("reference", "JAX")
        if not is_sampler:
            return f"one evaluation within {max(row['relative'] for row in rows):.1e} of {other}'s"
        rows = [row for row in rows if "identical" in row]
        identical, off_by = min(row["identical"] for row in rows), max(row["off_by"] for row in rows)
        return (
            f"{identical:.3%} of pixels identical to {other}'s or more, off by at most {off_by}, "
            f"in {len(trajectories)} comparisons"
        )
    except (KeyError, TypeError, ValueError) as err:
        return f"not understood: {err!r}"


def _record(artifact: Artifact) -> dict[str, str]:
    """The recorded training config, one line per section."""
    rows, loose = {}, []
    for key, value in artifact.config.items():
        if isinstance(value, dict):
            rows[f"[{key}] "] = ", ".join(f"{name} {json.dumps(one)}" for name, one in value.items())
        else:
            loose.append(f"{key} {json.dumps(value)}")
    return {"recorded": ", ".join(loose) or ("" if rows else "nothing")} | rows


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else ""
