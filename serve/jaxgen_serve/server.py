"""Run the application in uvicorn: open a socket, log to stderr, and print one line on stdout once it answers."""

from __future__ import annotations

import copy
import gc
import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from jaxgen import shipped
from jaxgen.errors import JaxgenError, UsageError, nearest
from jaxgen_serve.app import create_app
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.metrics import Metrics
from jaxgen_serve.models import sandbox
from jaxgen_serve.models.registry import Library
from jaxgen_serve.settings import Settings
from jaxgen_serve.sockets import listening, url

GRACE = 5  # seconds for open requests after the server is stopped
HEADER_BYTES = 2**16  # of one request, all together


def serve(settings: Settings, models: Sequence[str], say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; say: gets one line with the address; warn: gets warnings before that.

    models: files, folders, names of files in DATA/models or of models that come with jaxgen; none: all of the last two.
    Raises UsageError on a name that is none of these, JaxgenError on a file that cannot be served or a port that is
    taken.
    """
    if not settings.loopback and settings.token is None:
        warn(f"whoever reaches {settings.host} may use this server; give it a --token")
    library = opened(settings, models, warn)
    if settings.allow_uploads:
        sandbox.limit()  # an untrusted graph may need little memory when it is tried, and all of it later
    with listening(settings.host, settings.port) as listener:
        metrics = Metrics()
        engine = Engine(
            max_batch=settings.max_batch, max_delay=settings.max_delay, max_queue=settings.max_queue, metrics=metrics
        )
        app = create_app(settings, library, engine, metrics)
        config = uvicorn.Config(
            app,
            log_config=logs(),
            ws="none",
            lifespan="on",
            server_header=False,
            http="h11",  # httptools is a fifth faster, but takes headers of any size
            h11_max_incomplete_event_size=HEADER_BYTES,
            timeout_graceful_shutdown=GRACE,
            proxy_headers=False,
        )
        address = url(settings.host, listener.getsockname()[1])
        Server(config, lambda: say(f"jaxgen serves at {address}")).run(sockets=[listener])


def opened(settings: Settings, models: Sequence[str], warn: Callable[[str], None]) -> Library:
    """The library of these models. Raises as `serve`; warns of other refused files, and of no model."""
    places = [place(name, settings.data / "models") for name in models] or [settings.data / "models", shipped.FOLDER]
    uploads = settings.uploads if settings.allow_uploads else None
    library = Library(places, extra=uploads, **settings.how)
    for name, why in library.refused.items():
        if any(path.name == name and path.is_file() for path in places):
            raise JaxgenError(why)
        warn(f"not served: {name}: {why}")
    if not library.models():
        warn("no model to sample from yet; the server waits for one" + ("" if models else f" in {places[0]}"))
    return library


class Server(uvicorn.Server):
    """A server that calls `ready` once it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # collecting these long-lived objects again and again held requests up for 60 ms
        if self.started:
            self._ready()


def place(name: str, models: Path) -> Path:
    """The file or folder of a name. Raises UsageError if there is none."""
    path = Path(name)
    if path.exists():
        return path
    kept = models / f"{name}.onnx"
    if Path(name).name == name and kept.exists():
        return kept
    if Path(name).name == name and name in shipped.models():
        return shipped.model(name)
    guess = nearest(name, shipped.models())
    raise UsageError(f"{name}: no such file or folder, and no model of this name in {models} or in jaxgen{guess}")


def logs() -> dict:
    """uvicorn's log config with requests on stderr too: stdout is for the address alone."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["handlers"]["access"]["stream"] = "ext://sys.stderr"
    config["loggers"]["jaxgen_serve"] = {"handlers": ["default"], "level": logging.INFO, "propagate": False}
    return config
