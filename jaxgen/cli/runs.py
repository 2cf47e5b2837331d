"""The command jaxgen runs: list the runs of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import json_option
from jaxgen.cli.tables import print_table
from jaxgen.cli.types import FilePath

if TYPE_CHECKING:
    from jaxgen.runs.folder import RunFolder

HEAD = ("RUN", "STATE", "STEP", "SCORE", "WRITTEN", "LAST IMAGES")


@command(doing="reading")
@click.argument("folder", type=FilePath(file_okay=False), default="runs")
@json_option
def runs(folder: Path, as_json: bool) -> None:
    """List the runs of a folder, the newest first.

    Each has its state, its step, its best score (FID if it was measured, else the test loss) and its newest images. A
    run that says it trains, but that no process has open, was stopped. FOLDER is "runs" by default.

    \b
    jaxgen runs
    jaxgen runs ~/experiments --json
    """
    from jaxgen.errors import UsageError
    from jaxgen.runs.status import runs_in

    found = runs_in(folder)
    if not found:
        there = "holds no run" if folder.is_dir() else "no such folder"
        raise UsageError(f"{folder}: {there}; 'jaxgen train' makes one")
    rows = [_facts(run) for run in found]
    if as_json:
        click.echo(json.dumps(rows))
        return
    print_table(HEAD, [_row(row) for row in rows])


def _facts(run: RunFolder) -> dict[str, Any]:
    from jaxgen.runs.metrics import Tail
    from jaxgen.runs.status import last_written, read_status, sample_sheets

    curves = Tail(run.metrics_file).read()
    status = read_status(run, curves)
    state = status.state
    if status.finished:
        state = "finished"
    elif state in ("starting", "training") and run.is_free():
        state = "stopped"
    sheets = sample_sheets(run)
    return {
        "run": str(run.path),
        "state": state,
        "step": status.step,
        "total": status.total or None,
        "seconds_left": status.seconds_left if state == "training" else None,
        "fid": min(curves.get("eval_fid", ([], []))[1], default=None),
        "test_loss": min(curves.get("test_loss", ([], []))[1], default=None),
        "written": last_written(run),
        "images": str(sheets[max(sheets)]) if sheets else None,
    }


def _row(facts: dict[str, Any]) -> list[str]:
    import datetime

    from jaxgen.runs.status import duration

    left = facts["seconds_left"]
    state = f"{facts['state']}, {duration(left)} left" if left is not None else facts["state"]
    step = f"{facts['step']:,}" + (f" of {facts['total']:,}" if facts["total"] else "")
    fid, loss = facts["fid"], facts["test_loss"]
    score = f"FID {fid:.4g}" if fid is not None else f"test loss {loss:.4g}" if loss is not None else "none yet"
    when = datetime.datetime.fromtimestamp(facts["written"]).strftime("%Y-%m-%d %H:%M")
    return [facts["run"], state, step, score, when, facts["images"] or "none yet"]
