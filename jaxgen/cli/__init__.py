"""The command line of jaxgen. Modules here import only click at the top; commands import the rest in their bodies."""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

import click

from jaxgen import __version__
from jaxgen.cli.adopt import adopt
from jaxgen.cli.compose import compose
from jaxgen.cli.dashboard import dashboard
from jaxgen.cli.data import data
from jaxgen.cli.distill import distill
from jaxgen.cli.eval import eval_
from jaxgen.cli.export import export
from jaxgen.cli.help import group
from jaxgen.cli.import_weights import import_
from jaxgen.cli.latent import latent
from jaxgen.cli.model import bench, info, verify
from jaxgen.cli.plots import noise_gif, plot
from jaxgen.cli.runs import runs
from jaxgen.cli.sample import replay, sample
from jaxgen.cli.serve import serve
from jaxgen.cli.shipped import models
from jaxgen.cli.train import presets, train
from jaxgen.cli.tune import tune
from jaxgen.errors import Interrupted, explain


@group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="jaxgen")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and XLA's own lines.")
def cli(debug: bool) -> None:
    """Train small generative image models in JAX, export each as one ONNX file, and sample from it anywhere.

    \b
    jaxgen train --model ddpm --out runs/digits     train on the embedded digits
    jaxgen export runs/digits -o model.onnx         one file: seed in, images out
    jaxgen verify model.onnx                        check that this machine gives the same images
    jaxgen sample model.onnx -n 64 -o grid.png      needs only NumPy and onnxruntime
    """


COMMANDS = (
    train, distill, presets, data, runs, plot, export, import_, compose, adopt, tune, models, sample, replay, noise_gif,
    latent, eval_, verify, info, bench, serve, dashboard,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command; a failure prints one line on stderr and sets the exit code, with a traceback only by --debug."""
    if "--debug" not in sys.argv:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA's own lines, before anything loads it
    try:
        code = cli.main(prog_name="jaxgen", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as err:
        err.show()
        sys.exit(err.exit_code)
    except BrokenPipeError:
        # The reader of our output is gone; flushing at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Exception, KeyboardInterrupt) as err:
        if "--debug" in sys.argv and not isinstance(err, click.ClickException):
            traceback.print_exception(err)
        message, code = _in_one_line(err)
        click.echo(f"jaxgen: {message}", err=True)
        if isinstance(err, Interrupted):
            # Abandoned work may still run in a thread; it must not delay the exit.
            sys.stdout.flush()
            os._exit(code)
        sys.exit(code)


def _in_one_line(err: BaseException) -> tuple[str, int]:
    """The message and the exit code of a failure."""
    if isinstance(err, click.ClickException):
        return " ".join(err.format_message().split()), err.exit_code
    if isinstance(err, KeyboardInterrupt | click.Abort):
        return "interrupted", 130
    return explain(err)
