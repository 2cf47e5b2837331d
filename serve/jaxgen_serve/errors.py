"""The answer to a failed request: {"detail": "one line"}, without paths of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response

LONGEST = 500  # characters


def failure(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that failed; detail is folded to one line."""
    body = json.dumps({"detail": " ".join(detail.split())[:LONGEST]})  # ASCII, whatever a client sent
    return Response(body, status, {**(headers or {}), "cache-control": "no-store"}, media_type="application/json")
