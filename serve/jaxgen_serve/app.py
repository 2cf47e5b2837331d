"""The application: every route and layer around a library of models and the engine that runs them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from jaxgen import __version__
from jaxgen_serve.api import exceptions, gallery, images, info, latents, models, reading, stream, web
from jaxgen_serve.api.dependencies import Service
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.gallery.database import Unavailable
from jaxgen_serve.gallery.store import Gallery
from jaxgen_serve.metrics import Metrics
from jaxgen_serve.middleware.request_metrics import Counting
from jaxgen_serve.middleware.security import AnswerHeaders, Guard, Limits
from jaxgen_serve.models.registry import Library
from jaxgen_serve.settings import Settings

ROUTES = (images, stream, latents, reading, models, gallery, info, web)
log = logging.getLogger("uvicorn.error")
OWN_HEADERS = ("X-Jaxgen", "X-Jaxgen-Reach", "Retry-After", "ETag")


def opened(settings: Settings) -> Gallery | Unavailable:
    """The gallery, or the reason why there is none: images can be sampled without it."""
    try:
        return Gallery(settings.data / "gallery")
    except Unavailable as err:
        log.warning("no gallery: %s", err)
        return err


def create_app(settings: Settings, library: Library, engine: Engine, metrics: Metrics) -> FastAPI:
    """An ASGI application that starts the library and closes both it and the engine; metrics: those of the engine."""
    app = FastAPI(
        title="jaxgen",
        version=__version__,
        summary=info.WHAT,
        description=info.MORE,
        servers=[{"url": "./"}],  # wherever this document is: a proxy may add a prefix
        lifespan=lambda app: _lifespan(app, settings, library, engine, metrics),
        docs_url=None,  # FastAPI's own page loads code from another host; api/web.py serves it from here
        redoc_url=None,
    )
    for route in ROUTES:
        app.include_router(route.router)
    exceptions.install(app)
    _add_middleware(app, settings, metrics)
    return app


@asynccontextmanager
async def _lifespan(
    app: FastAPI, settings: Settings, library: Library, engine: Engine, metrics: Metrics
) -> AsyncIterator[None]:
    service = Service(settings=settings, library=library, engine=engine, metrics=metrics, gallery=opened(settings))
    app.state.jaxgen = service
    library.start()
    try:
        yield
    finally:
        engine.close()  # first: threads that wait for it end
        service.threads.close()
        library.close()
        if isinstance(service.gallery, Gallery):
            service.gallery.close()


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """Add the layers around the routes; the last one added is the outermost."""
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Limits, settings=settings)
    app.add_middleware(AnswerHeaders)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=OWN_HEADERS,
        )
    app.add_middleware(Counting, metrics=metrics)
