"""The command jaxgen models: list and describe the models that come with jaxgen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

from jaxgen.cli.help import group
from jaxgen.cli.options import json_option
from jaxgen.cli.tables import print_table
from jaxgen.cli.types import completes


def _names() -> Iterable[str]:
    from jaxgen import shipped

    return shipped.models()


@group(invoke_without_command=True)
@json_option
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models that come with jaxgen; every command that takes a MODEL.onnx takes their names.

    Each score stands beside its floor: what as many test images of the dataset score.

    \b
    jaxgen models
    jaxgen models show cvae-mnist
    jaxgen sample cvae-mnist --label 7
    """
    if ctx.invoked_subcommand:
        return
    from jaxgen import shipped
    from jaxgen.inference.model_file import read

    rows = {name: _facts(read(path)) for name, path in shipped.models().items()}
    if as_json:
        click.echo(json.dumps(rows))
        return
    lines = []
    for name, facts in rows.items():
        fid = facts["scores"].get("fid") or {}
        score = f"{fid['value']:.2f} ({fid['floor']:.2f})" if fid else "not measured"
        shape, count = "x".join(map(str, facts["images"])), len(facts["classes"])
        lines.append((name, shape, str(count or "none"), str(facts["evaluations"]), f"{facts['megabytes']:.1f}", score))
    print_table(("NAME", "IMAGES", "CLASSES", "EVALUATIONS", "MB", "FID (FLOOR)"), lines)


@models.command(doing="reading")
@click.argument("name", shell_complete=completes(_names))
@json_option
def show(name: str, as_json: bool) -> None:
    """Describe a model that comes with jaxgen: what it was trained on and how, its scores, its certificate.

    \b
    jaxgen models show cvae-mnist
    """
    from jaxgen import shipped
    from jaxgen.cli.summary import summary
    from jaxgen.inference.model_file import read

    path = shipped.model(name)
    if as_json:
        click.echo(json.dumps(read(path).manifest, indent=2))
        return
    for key, value in summary(read(path)).items():
        click.echo(f"{key:12}{value}")
    click.echo(f"{'path':12}{path}")


def _facts(artifact: Any) -> dict[str, Any]:
    """What a list of models says of one."""
    inference = artifact.inference
    scores = artifact.manifest.get("scores") or {}
    return {
        "images": list(inference.image_shape),
        "classes": list(inference.classes),
        "evaluations": inference.plan.steps if inference.plan else 1,
        "megabytes": len(artifact.data) / 1e6,
        "sha256": artifact.sha256,
        "scores": scores.get("scores", {}),
    }
