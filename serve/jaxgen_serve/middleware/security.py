"""ASGI middleware that checks origins, tokens and limits of requests, listed from the outside in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jaxgen_serve.errors import failure
from jaxgen_serve.settings import MEGABYTE, Settings

MODEL_UPLOAD = ("POST", "/models")
SOAKED = 16  # times the limit: how much of a too long body is still read
MAX_LOGIN = 4096  # bytes of a token and its JSON
LOGIN_SECONDS = 3.0  # in which to send them
PAGES = ("/", "/app", "/docs")  # that other sites may link to, besides all below /app/ and /images/
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",  # does not affect fetch, which --cors allows
}


def cookie_name(headers: Headers) -> str:
    """The cookie's name with the port: browsers share cookies among the ports of a host, which may be other servers."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"jaxgen-{port}" if port.isdecimal() else "jaxgen"


def ticket_of(token: str) -> str:
    """The cookie's value: a hash, from which the token cannot be recovered."""
    return hashlib.sha256(f"jaxgen cookie {token}".encode()).hexdigest()


class AnswerHeaders:
    """Adds security headers to every answer that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Guard:
    """Refuses foreign hosts and origins, and requests without the token."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.hosts = {"localhost", "127.0.0.1", "[::1]", settings.host} if settings.loopback else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        refusal = self.refusal(scope)
        if refusal is not None:
            status, why, more = refusal
            return await failure(status, why, more)(scope, receive, send)
        return await self.app(scope, receive, send)

    def refusal(self, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        """Status, reason and headers of a refusal; None: the request may pass."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return 403, "the request's Host is not this server's name; use http://localhost", {}
        if self.foreign(scope, headers):
            return 403, "pages of other sites may not use this server; its owner can allow them with --cors", {}
        if self.settings.token is None or _open(scope) or self.has_token(headers):
            return None
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return 303, "log in first", {"location": f"{scope.get('root_path', '')}/app/"}
        return 401, "this server wants a token: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"}

    def foreign(self, scope: Scope, headers: Headers) -> bool:
        """Whether the page of another site sends the request; even a GET counts, since it may sample images.

        A client without both headers is no browser, or an old one. A proxy may have changed the scheme of an origin.
        """
        origin = headers.get("origin")
        if origin in self.settings.cors:
            return False
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            return True
        return headers.get("sec-fetch-site") == "cross-site" and not _followed_link(scope, headers)

    def has_token(self, headers: Headers) -> bool:
        token = self.settings.token or ""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return True
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(cookie_name(headers))
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), ticket_of(token).encode())


def _name(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def _path(scope: Scope) -> str:
    """The path as the routes know it, without a proxy's prefix."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _followed_link(scope: Scope, headers: Headers) -> bool:
    """Whether the request follows a link from another site to one of the pages."""
    path = _path(scope)
    page = scope["method"] in ("GET", "HEAD") and (path in PAGES or path.startswith(("/app/", "/images/")))
    return page and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _open(scope: Scope) -> bool:
    """Whether a request needs no token: /health, the page's own files and /login."""
    path = _path(scope)
    return scope["method"] == "OPTIONS" or path in ("/health", "/login", "/app") or path.startswith("/app/")


class Limits:
    """Limits the open requests, the bytes of each body and the seconds to send it in.

    /health is exempt, so that monitoring does not take a busy server for a dead one.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings, self.open = app, settings, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _path(scope) == "/health":
            return await self.app(scope, receive, send)
        if self.open >= self.settings.max_open:
            busy = failure(503, "too many requests at a time; try again", {"retry-after": "1"})
            return await busy(scope, receive, send)
        self.open += 1
        try:
            body = Body(scope, receive, *self.limits(scope))
            await self.app(scope, body.receive, body.closing(send))
        finally:
            self.open -= 1
        return None

    def limits(self, scope: Scope) -> tuple[int, float]:
        """Limits of a body: bytes, and seconds to send it in. A form adds some bytes around the file."""
        settings, path = self.settings, _path(scope)
        if path == "/login":  # open to strangers
            return MAX_LOGIN, min(LOGIN_SECONDS, settings.deadline)
        uploads = (scope["method"], path) == MODEL_UPLOAD and settings.allow_uploads
        return settings.max_model + MEGABYTE if uploads else settings.max_body, settings.deadline


class Body:
    """Counts the bytes of a request's body, whatever its header says, and times it."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float) -> None:
        headers = Headers(scope=scope)
        self._receive, self._limit = receive, limit
        self._until = asyncio.get_running_loop().time() + seconds
        self._got, self._whole = 0, False
        self._open_ended = "transfer-encoding" in headers
        length = headers.get("content-length", "")
        self._length = int(length) if length.isdecimal() else 0  # the HTTP parser refuses anything but a number

    async def receive(self) -> Message:
        """Raises HTTPException (413, 408) if the body is too long, or too slow."""
        if self._whole:  # all that can still come is the client's disconnect
            return await self._receive()
        if self._length > SOAKED * self._limit:
            raise self._too_long()
        message = await self._next()
        if self._length > self._limit or self._got > self._limit:
            # A client does not read an answer while it sends: the rest is read, up to SOAKED, and dropped.
            while not self._whole and self._got < SOAKED * self._limit:
                await self._next()
            raise self._too_long()
        return message

    def closing(self, send: Send) -> Send:
        """A `send` that closes the connection after the answer if the body may never end."""

        async def send_closing(message: Message) -> None:
            endless = self._open_ended or self._length > self._limit
            if message["type"] == "http.response.start" and endless and not self._whole:
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        return send_closing

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as err:
            raise HTTPException(408, "the request was not sent in time", {"connection": "close"}) from err
        self._got += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return message

    def _too_long(self) -> HTTPException:
        return HTTPException(413, f"the body is larger than this server takes ({self._limit} bytes)")
