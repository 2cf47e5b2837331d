"""The command jaxgen serve: start the server."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jaxgen.cli.help import command
from jaxgen.cli.options import runtime_options
from jaxgen.cli.run_files import file_of
from jaxgen.cli.types import FilePath, FloatRange, IntRange, ServedModel

if TYPE_CHECKING:
    from jaxgen.inference.runtime import How


@command(doing=None)
@click.argument("models", metavar="[MODEL.onnx|NAME|RUN|FOLDER]...", nargs=-1, type=ServedModel())
@click.option("--host", default="127.0.0.1", help="The address to listen at; only this machine reaches 127.0.0.1.")
@click.option("--port", type=IntRange(0, 65535), default=8000, help="The port to listen at; 0: any free one.")
@click.option("--token", envvar="JAXGEN_TOKEN", show_envvar=True, help="The token that requests must send.")
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Let pages of this other site send requests; repeatable.")
@click.option("--allow-uploads", is_flag=True, help="Let users add model files, which are checked first.")
@click.option(
    "--data",
    type=FilePath(file_okay=False),
    envvar="JAXGEN_HOME",
    show_envvar=True,
    help="The folder of models, uploads and the gallery.  [default: ~/.local/share/jaxgen]",
)
@click.option("--max-batch", type=IntRange(1, 4096), default=64, help="How many images are sampled at a time at most.")
@click.option(
    "--max-delay-ms",
    type=FloatRange(0, 1000),
    default=2.0,
    help="How long a request waits for others to batch with.",
)
@click.option("--max-queue", type=IntRange(1, 10**5), default=1024, help="How many images may wait; more are refused.")
@click.option("--deadline", type=FloatRange(0.1, 3600), default=60.0, help="How many seconds a request may take.")
@runtime_options
def serve(
    models: tuple[str, ...],
    host: str,
    port: int,
    token: str | None,
    cors: tuple[str, ...],
    allow_uploads: bool,
    data: Path | None,
    max_batch: int,
    max_delay_ms: float,
    max_queue: int,
    deadline: float,
    how: How,
) -> None:
    """Serve models over HTTP, with an API for programs and a page for people at /app.

    NAME is a model in the data folder's 'models', or one that comes with jaxgen ('jaxgen models'); by default all of
    these are served. The files are watched: new and changed ones are served a moment later. Ctrl-C stops the server.

    \b
    jaxgen serve
    jaxgen serve model.onnx
    jaxgen serve runs/mine
    jaxgen serve models/ --port 8080 --allow-uploads
    JAXGEN_TOKEN=long-and-secret jaxgen serve --host 0.0.0.0
    """
    from jaxgen.errors import extra

    with extra("serve"):
        import python_multipart  # noqa: F401  (FastAPI needs it, but its error names no module)

        from jaxgen_serve.server import serve as run
        from jaxgen_serve.settings import Settings, data_folder

    found = [file_of(Path(name)) for name in models]
    named = [name if file == Path(name) else str(file) for name, file in zip(models, found, strict=True)]
    settings = Settings(
        data=data or data_folder(),
        host=host,
        port=port,
        token=token or None,
        cors=tuple(origin.rstrip("/") for origin in cors),
        allow_uploads=allow_uploads,
        max_batch=max_batch,
        max_delay=max_delay_ms / 1000,
        max_queue=max_queue,
        deadline=deadline,
        how=how,
    )
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C does not always raise it
        run(settings, named, say=click.echo, warn=lambda line: click.echo(f"jaxgen: {line}", err=True))
    click.echo("stopped", err=True)
