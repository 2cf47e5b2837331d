"""jaxgen serve."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from jaxgen.cli.options import provider_option, runtime_option, threads_option


@click.command()
@click.argument("models", metavar="[MODEL.onnx|NAME|FOLDER]...", nargs=-1)
@click.option("--host", default="127.0.0.1", help="Address to listen at; this machine alone reaches 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0: one that is free.")
@click.option("--token", envvar="JAXGEN_TOKEN", show_envvar=True, help="What requests must show to be answered.")
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Another site whose pages may ask; may be repeated.")
@click.option("--allow-uploads", is_flag=True, help="Let users add model files, which are checked first.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="JAXGEN_HOME",
    show_envvar=True,
    help="Where models, uploads and the gallery lie.  [default: ~/.local/share/jaxgen]",
)
@click.option("--max-batch", type=click.IntRange(1, 4096), default=64, help="Images of one call.")
@click.option(
    "--max-delay-ms", type=click.FloatRange(0, 1000), default=2.0, help="How long a request waits for others."
)
@click.option("--max-queue", type=click.IntRange(1, 100_000), default=1024, help="Images that wait; more are refused.")
@click.option("--deadline", type=click.FloatRange(0.1, 3600), default=60.0, help="Seconds that a request may take.")
@threads_option
@runtime_option
@provider_option
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
    threads: int | None,
    runtime: str,
    provider: str | None,
) -> None:
    """Draw over HTTP, for programs and for people: the page is at /app.

    NAME is a model in the data folder's 'models', which is served whole if nothing is named. Files are watched: one
    that is added or changed is served a moment later. Ctrl-C ends it.

    \b
    jaxgen serve model.onnx
    jaxgen serve models/ --port 8080 --allow-uploads
    JAXGEN_TOKEN=long-and-secret jaxgen serve --host 0.0.0.0
    """
    from jaxgen.errors import extra
    from jaxgen.inference.runtime import How

    with extra("serve"):
        import python_multipart  # noqa: F401  (FastAPI, which needs it, names no module where it is missing)

        from jaxgen_serve.server import serve as run
        from jaxgen_serve.settings import Settings, data_folder

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
        how=How(threads=threads, runtime=runtime, provider=provider),
    )
    with contextlib.suppress(KeyboardInterrupt):  # which does not come each time that Ctrl-C has ended the loop
        run(settings, models, say=click.echo, warn=lambda line: click.echo(f"jaxgen: {line}", err=True))
    click.echo("stopped", err=True)
