"""The command jaxgen adopt: turn a file that another tool wrote into a model file."""

from __future__ import annotations

from pathlib import Path

import click

from jaxgen.cli.help import command
from jaxgen.cli.types import ONNX, PATH


@command(doing="checking")
@click.argument("file", metavar="FILE.onnx", type=PATH)
@click.option("--resign", is_flag=True, help="Take FILE for a jaxgen model that another tool rewrote.")
@click.option("-o", "--output", type=ONNX, help="The new file.  [default: FILE itself]")
def adopt(file: Path, resign: bool, output: Path | None) -> None:
    """Turn a file that another tool wrote into one that jaxgen opens.

    --resign takes a model file that an optimiser, a converter or onnx.save rewrote, so that its hash no longer matches
    its manifest. Its inputs, outputs and plans are checked and the images of its certificate are sampled in
    onnxruntime, also one by one, in another batch, in two parts and with noise from outside. If they are the same, the
    file gets a new certificate, a new hash and a note of the tool. A file that lost an input, gives other images or
    has a manifest of other plans is refused. Its path goes to stdout.

    \b
    jaxgen adopt --resign optimised.onnx -o model.onnx
    """
    from jaxgen.errors import UsageError, extra
    from jaxgen.files import check_writable, write_atomically

    def say(line: str) -> None:
        click.echo(line, err=True)

    if not resign:
        raise UsageError("give --resign: adopt takes model files of jaxgen's that another tool rewrote")
    output = output or file
    check_writable(output)
    with extra("export"):
        from jaxgen_export import adopt as adoption

    write_atomically(output, adoption.resign(file, say))
    click.echo(output)
