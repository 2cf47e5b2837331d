"""The command jaxgen compose: put a changed network back into its sampling loop."""

from __future__ import annotations

from pathlib import Path

import click

from jaxgen.cli.help import command
from jaxgen.cli.types import ONNX, PATH


@command(doing="comparing")
@click.argument("network", metavar="NET.onnx", type=PATH)
@click.option("--like", type=PATH, required=True, help="The model file that the network came from.")
@click.option("-o", "--output", type=ONNX, required=True, help="Where to write the new model.")
@click.option(
    "--batch-dependent", is_flag=True, help="Accept a network whose images depend on the rest of their batch."
)
def compose(network: Path, like: Path, output: Path, batch_dependent: bool) -> None:
    """Put a quantised, pruned or converted network back into its whole sampler.

    NET.onnx is a file of 'jaxgen export --network' that a tool of your choice has changed. The new file has the noise,
    the plan and the pixel conversion of --like, and its own certificate: its images in onnxruntime, which 'jaxgen
    verify' must reproduce elsewhere. Their distance from those of --like goes to stderr and into the manifest.

    \b
    jaxgen compose net.int8.onnx --like model.onnx -o model.int8.onnx
    """
    from jaxgen.errors import UsageError, extra
    from jaxgen.files import check_writable, write_atomically

    def say(line: str) -> None:
        click.echo(line, err=True)

    if output.resolve() in (network.resolve(), like.resolve()):
        raise UsageError(f"-o: {output} is one of the two files that are put together")
    check_writable(output)
    with extra("export"):
        from jaxgen_export.compose import compose_model

    write_atomically(output, compose_model(network, like, batch_dependent=batch_dependent, say=say))
    click.echo(output)
