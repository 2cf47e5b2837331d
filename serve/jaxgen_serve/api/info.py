"""GET /, /health, /ready and /metrics; POST /login."""

from __future__ import annotations

import asyncio
import hmac
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from jaxgen import __version__
from jaxgen_serve.api.dependencies import service_of
from jaxgen_serve.api.schemas import Login, responses
from jaxgen_serve.errors import failure
from jaxgen_serve.middleware.security import cookie_name, ticket_of

router = APIRouter(tags=["about"])
WRONG = 0.3  # seconds until a wrong token is refused: guessing is slow, and its timing says nothing

LINKS = {
    "app": "/app/",
    "docs": "/docs",
    "openapi": "/openapi.json",
    "models": "/models",
    "gallery": "/gallery",
    "health": "/health",
    "ready": "/ready",
    "metrics": "/metrics",
}
WHAT = "Samples images from small generative models: seed in, images out, the same ones everywhere."
MORE = """
[The page](app/) offers the same in a browser. A failure is answered by `{"detail": "one line"}` and a status that is
listed below. To sample an image from a terminal:

    curl localhost:8000/generate -d '{"seed": 7, "label": 3}' -o three.png \\
         -H 'Content-Type: application/json' -H 'Accept: image/png'
"""


@router.head("/", include_in_schema=False, response_model=None)
@router.get("/", responses={**responses(), 307: {"description": "A browser is sent to the page."}}, response_model=None)
async def about(request: Request) -> Response | dict[str, Any]:
    """The server's name and version, and links to the rest."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"{request.scope.get('root_path', '')}/app/")
    return {"name": "jaxgen", "version": __version__, "what": WHAT, "links": LINKS}


@router.head("/health", include_in_schema=False)
@router.get("/health", responses=responses())
async def health() -> dict[str, str]:
    """Say that the server is alive. Needs no token."""
    return {"status": "ok"}


@router.head("/ready", include_in_schema=False, response_model=None)
@router.get("/ready", responses=responses(503), response_model=None)
async def ready(request: Request) -> Response | dict[str, Any]:
    """Say whether there is a model to sample from."""
    count = len(service_of(request).library.models())
    if not count:
        return failure(503, "no model is served yet", {"retry-after": "1"})
    return {"status": "ready", "models": count}


@router.get(
    "/metrics",
    response_class=Response,
    responses={**responses(), 200: {"content": {"text/plain": {}}, "description": "In Prometheus' text format."}},
)
async def metrics(request: Request) -> Response:
    """Requests, images, the queue, batch sizes and times."""
    server = service_of(request).metrics
    return Response(server.text(), headers={"content-type": server.content_type})


@router.post("/login", status_code=204, responses=responses(413))
async def login(request: Request, body: Login) -> Response:
    """Exchange the token for a cookie, which the page's requests then carry."""
    token = service_of(request).settings.token
    if token is None:
        return Response(status_code=204)  # there is no token to check
    if not hmac.compare_digest(ticket_of(body.token), ticket_of(token)):  # compares hashes, which have equal length
        await asyncio.sleep(WRONG)
        return failure(401, "this is not the server's token")
    response = Response(status_code=204)
    secure = request.url.scheme == "https"
    name = cookie_name(request.headers)
    response.set_cookie(name, ticket_of(token), max_age=30 * 86400, httponly=True, samesite="strict", secure=secure)
    return response
