"""jaxgen export."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("model.onnx"), help="The ONNX file.")
@click.option("--torchscript", type=click.Path(path_type=Path), help="Write a TorchScript file, too.")
@click.option("--checkpoint", default="last", metavar="last|best|STEP", help="Which weights; best: lowest test loss.")
def export(run: Path, output: Path, torchscript: Path | None, checkpoint: str) -> None:
    """Turn a run into one ONNX file: seed in, pictures out.

    The certificate inside it says how far JAX, PyTorch, TorchScript and onnxruntime are apart on this model;
    if they do not draw the same pictures, no file is written.

    \b
    jaxgen export runs/ddpm-digits -o model.onnx
    jaxgen export runs/ddpm-digits -o model.onnx --torchscript model.ts
    """
    from jaxgen.errors import UsageError, extra
    from jaxgen.files import check_writable
    from jaxgen.parity import worst

    def say(line: str) -> None:
        click.echo(line, err=True)

    if torchscript and torchscript.resolve() == output.resolve():
        raise UsageError(f"-o and --torchscript name the same file, {output}")
    for path in (output, torchscript):
        if path:
            check_writable(path)  # before minutes of work, not after
    # Idle threads of PyTorch sleep and do not spin: on a busy machine the certificate takes seconds and not minutes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with extra("export"):
        from jaxgen.training.trained import load_trained
        from jaxgen_export.export import export_model

    trained = load_trained(run, checkpoint, say)
    config = trained.config
    facts = {"dataset": config.data.dataset, "steps": trained.step, "test_loss": trained.score}
    manifest = export_model(
        config, trained.params, output, classes=trained.classes, training=facts, torchscript=torchscript, say=say
    )
    say(f"{'against JAX':14}one evaluation    pixels identical   off by at most")
    for backend, row in worst(manifest["certificate"]).items():
        say(f"{backend:14}{row['relative']:.1e} relative{row['identical']:15.3%}{row['off_by']:17}")
    click.echo(output)
