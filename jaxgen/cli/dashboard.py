"""The command jaxgen dashboard: start the dashboard."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import click

from jaxgen.cli.help import command
from jaxgen.cli.types import FilePath, IntRange


@command(doing=None)
@click.option(
    "--runs",
    type=FilePath(file_okay=False),
    default=Path("runs"),
    help="The folder of the runs; it is created if missing.",
)
@click.option("--port", type=IntRange(1, 65535), default=8501, help="The port to listen at.")
@click.option("--host", default="127.0.0.1", help="The address to listen on; anybody who can reach it may train.")
def dashboard(runs: Path, port: int, host: str) -> None:
    """Train, compare, sample and explore in a browser.

    Training continues in its own process when the page is closed and when this command ends. Sampling needs only the
    base install and jaxgen[dashboard]; training also needs jaxgen[train], and exporting jaxgen[export].

    \b
    jaxgen dashboard
    jaxgen dashboard --runs ~/runs --port 8600
    """
    from jaxgen.errors import JaxgenError, extra

    with extra("dashboard"):
        importlib.import_module("streamlit")  # used by the new process; fails here with a hint if it is missing
    from jaxgen_serve.dashboard import streamlit_options
    from jaxgen_serve.sockets import listening, url

    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise JaxgenError(f"{runs}: cannot be made: {err.strerror}; choose another --runs") from err
    listening(host, port).close()  # raises if the port is taken; Streamlit would fail only after the address is printed
    if host not in streamlit_options.LOOPBACK:
        click.echo(f"warning: whoever reaches {host}:{port} may train and sample here; there is no password", err=True)
    click.echo(f"jaxgen dashboard: {url(host, port)}", err=True)
    environment = {**os.environ, streamlit_options.RUNS_VARIABLE: str(runs)}
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", *streamlit_options.arguments(host, port)], environment)
