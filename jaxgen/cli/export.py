"""jaxgen export."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, default=Path("model.onnx"), help="The ONNX file.")
@click.option("--encoder", type=PATH, help="A VAE's encoder, an ONNX file too.  [default: beside it, .encoder.onnx]")
@click.option("--torchscript", type=PATH, help="Write a TorchScript file, too.")
@click.option("--safetensors", type=PATH, help="Write the weights by PyTorch's names, too.")
@click.option("--torch", type=PATH, help="Write them as a PyTorch state dict, too.")
@click.option("--checkpoint", default="last", metavar="last|best|STEP", help="Which weights; best: lowest test loss.")
def export(
    run: Path,
    output: Path,
    encoder: Path | None,
    torchscript: Path | None,
    safetensors: Path | None,
    torch: Path | None,
    checkpoint: str,
) -> None:
    """Turn a run into one ONNX file: seed in, pictures out (or pictures in, for a classifier).

    The certificate inside it says how far JAX, PyTorch, TorchScript and onnxruntime are apart on this model;
    if they do not draw the same pictures, no file is written. A VAE's encoder is a second file beside it.

    \b
    jaxgen export runs/ddpm-digits -o model.onnx
    jaxgen export runs/ddpm-digits -o model.onnx --torchscript model.ts --safetensors weights.safetensors
    """
    from jaxgen.errors import UsageError, extra
    from jaxgen.parity import worst

    def say(line: str) -> None:
        click.echo(line, err=True)

    places = {"-o": output, "--encoder": encoder, "--torchscript": torchscript, "--safetensors": safetensors}
    places |= {"--torch": torch}
    _check_places(places)  # before minutes of work, not after
    # Idle threads of PyTorch sleep and do not spin: on a busy machine the certificate takes seconds and not minutes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with extra("export"):
        from jaxgen.training.trained import load_trained
        from jaxgen_export.export import Places, export_model
        from jaxgen_export.twins import encoder_core

    trained = load_trained(run, checkpoint, say)
    config = trained.config
    if encoder_core(config):
        encoder = encoder or output.with_suffix(".encoder.onnx")
        _check_places(places | {"--encoder": encoder})
    elif encoder:
        raise UsageError(f"--encoder: {run} is a {config.family} and has no encoder")
    facts = {"dataset": config.data.dataset, "steps": trained.step, "test_loss": trained.score}
    beside = Places(encoder=encoder, torchscript=torchscript, safetensors=safetensors, torch=torch)
    manifest = export_model(
        config, trained.params, output, classes=trained.classes, training=facts, beside=beside, say=say
    )
    say(f"{'against JAX':14}one evaluation    pixels identical   off by at most")
    for backend, row in worst(manifest["certificate"]).items():
        say(f"{backend:14}{row['relative']:.1e} relative{row['identical']:15.3%}{row['off_by']:17}")
    click.echo(output)


def _check_places(places: Mapping[str, Path | None]) -> None:
    """Raise a UsageError where two are the same file, a JaxgenError where one cannot be written."""
    from jaxgen.errors import UsageError
    from jaxgen.files import check_writable

    seen: dict[Path, str] = {}
    for option, path in places.items():
        if path is None:
            continue
        if other := seen.get(path.resolve()):
            raise UsageError(f"{other} and {option} name the same file, {path}")
        seen[path.resolve()] = option
        check_writable(path)
