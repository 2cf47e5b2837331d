"""The status and the line that answer each kind of exception."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from jaxgen.errors import JaxgenError, UsageError, one_line
from jaxgen_serve.batching.requests import Busy
from jaxgen_serve.errors import failure
from jaxgen_serve.gallery.database import Unavailable
from jaxgen_serve.gallery.store import NotKept
from jaxgen_serve.models.registry import NotServed

CLIENT_GONE = 499  # the client does not read it, but the log and the metrics do
RETRY = 5.0  # seconds, unless the error says otherwise


class Gone(Exception):
    """The client left before its answer was ready."""


class Changed(UsageError):
    """The model has changed since the request's hash was taken."""


# All other errors are 400: an invalid request, or one that the model cannot serve.
STATUS: dict[type[JaxgenError], int] = {NotServed: 404, NotKept: 404, Changed: 409, Busy: 503, Unavailable: 503}

UNREADABLE = "There was an error parsing the body"  # FastAPI's message for a body that is not UTF-8, and the like
PLAIN = {  # replaces starlette's short messages
    "Not Found": "there is nothing at this path; /docs says what there is",
    "Method Not Allowed": "this path does not take this method; /docs says which it takes",
    UNREADABLE: "the body cannot be read",
}


def install(app: FastAPI) -> None:
    """Have every failure inside `app` answered by `failure`."""
    app.add_exception_handler(JaxgenError, _jaxgen)
    app.add_exception_handler(RequestValidationError, _schema)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Gone, _gone)
    app.add_exception_handler(Exception, _internal)


async def _jaxgen(request: Request, err: Exception) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(err, kind)), 400)
    if status != 503:
        return failure(status, str(err))
    wait = max(1, math.ceil(getattr(err, "retry_after", RETRY)))
    return failure(status, str(err), {"retry-after": str(wait)})


async def _schema(request: Request, err: Exception) -> Response:
    assert isinstance(err, RequestValidationError)
    return failure(422, described(err.errors()))


async def _http(request: Request, err: Exception) -> Response:
    assert isinstance(err, HTTPException)
    status = 422 if err.detail == UNREADABLE else err.status_code  # as for other bodies that are not JSON
    return failure(status, PLAIN.get(str(err.detail), str(err.detail)), err.headers)


async def _gone(request: Request, err: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


async def _internal(request: Request, err: Exception) -> Response:
    """A bug of the server: the traceback goes to the log, not to the client."""
    return failure(500, f"internal error: {type(err).__name__}; the server's log says where")


def described(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first of pydantic's errors: its place, message and input."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return f"the body is no JSON: {one_line(ValueError(first.get('ctx', {}).get('error', first['msg'])))}"
    if first["type"] == "model_attributes_type" and len(first["loc"]) == 1:
        return "the body must be a JSON object, sent with Content-Type: application/json"
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    given = first.get("input")
    shown = f", got {ascii(given)[:60]}" if isinstance(given, str | int | float | bool) else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{ascii(where)[1:-1][:100]}: {one_line(ValueError(message))}{shown}{more}"
