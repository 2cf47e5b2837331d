"""The command jaxgen distill: train a student that samples in a few steps."""

from __future__ import annotations

from pathlib import Path

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import TableOption, data_dir_option
from jaxgen.cli.progress import ProgressBar
from jaxgen.cli.types import PATH, FloatRange, IntRange


@command(doing=None)
@click.argument("teacher", metavar="RUN", type=PATH)
@click.option("--steps", type=IntRange(1), default=1, help="How many evaluations an image takes: 1, 2 or 4, say.")
@click.option("--method", cls=TableOption, metavar="NAME", help="How the student learns. {methods}")
@click.option("--guidance", type=FloatRange(0, 100), help="Learn the images of this guidance.  [default: RUN's]")
@data_dir_option
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key of the config; repeatable.")
@click.option("--out", type=PATH, help="The student's folder.  [default: runs/NAME-1step]")
def distill(
    teacher: Path, steps: int, method: str | None, guidance: float | None, data_dir: Path | None,
    settings: tuple[str, ...], out: Path | None,
) -> None:  # fmt: skip
    """Train a student of a diffusion or flow model, which samples in one or a few steps.

    The student is a run like any other: 'jaxgen train --resume' and 'jaxgen export' take it, and so does the
    dashboard. Its exported file has its few steps as the default plan and names the teacher. Repeating the command
    continues an interrupted run; keep RUN until the student is trained.
    A student is as good as it gets at its own number of steps. It takes other plans, too ('jaxgen sample --steps'),
    but nothing has taught it those.

    \b
    jaxgen distill runs/cddpm-mnist --steps 1 --guidance 1.5
    jaxgen distill runs/ddpm-digits --steps 4 --method consistency --set training.steps=2000
    jaxgen export runs/cddpm-mnist-1step -o model.onnx
    """
    import shlex

    from jaxgen.config.students import DEFAULT, student_of
    from jaxgen.errors import extra
    from jaxgen.runs.folder import RunFolder

    source = RunFolder(teacher)
    config = student_of(source.config(), steps, method=method or DEFAULT, guidance=guidance, settings=settings)
    run = RunFolder(out or Path("runs") / config.name)
    bar = ProgressBar("loading JAX, the data and the network")
    with bar, extra("train"):
        from jaxgen.training import distributed
        from jaxgen.training.signals import StopSignal
        from jaxgen.training.trainer import train as run_training
    stop = StopSignal()
    with stop.handled(), bar:
        distributed.start(config, run)
        last = run_training(
            config, run.path, data_dir=data_dir or source.data_dir(), teacher=teacher, stop=stop, prepared=bar.stop
        )  # fmt: skip
    click.echo(f"next: jaxgen export {shlex.quote(str(run.path))} -o model.onnx", err=True)
    click.echo(last)
