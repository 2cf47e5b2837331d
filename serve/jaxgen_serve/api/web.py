"""GET /app: the page's files, and onnxruntime's for browsers where this machine has them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse

from jaxgen_serve.web import onnxruntime_web

PAGE = Path(__file__).resolve().parent.parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self' blob:",  # onnxruntime's threads
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self' data: blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",  # with the next one: threads in WebAssembly
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # kept, but asked about each time: the answer is 304
}

router = APIRouter(include_in_schema=False)  # a page, not a part of the API


@router.api_route("/app", methods=["GET", "HEAD"])
async def bare(request: Request) -> Response:
    """With a slash, as its relative addresses need."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/app/")


@router.api_route("/app/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    return _answer(request, PAGE / "index.html")


@router.get("/app/ort/files.json")
async def runtime_files() -> Response:
    """Which files of onnxruntime-web are here: a browser that asked for one which is not would log an error."""
    folder = onnxruntime_web.folder()
    names = sorted(path.name for path in folder.iterdir()) if folder else []
    return JSONResponse({"files": names}, headers=HEADERS)


@router.api_route("/app/ort/{name}", methods=["GET", "HEAD"])
async def runtime(request: Request, name: str) -> Response:
    """onnxruntime-web's files, for the switch 'draw on this device'."""
    folder = onnxruntime_web.folder()
    if folder is None:
        raise HTTPException(404, "onnxruntime-web is not on this machine; 'jaxgen export --web' fetches it")
    return _answer(request, _named(folder, name))


@router.api_route("/app/{name}", methods=["GET", "HEAD"])
async def file(request: Request, name: str) -> Response:
    return _answer(request, _named(PAGE, name))


def _named(folder: Path, name: str) -> Path:
    """That file of a flat folder: a name is looked up among those there are, and never becomes a path."""
    for path in folder.iterdir():
        if path.name == name and path.is_file() and path.suffix in TYPES:
            return path
    raise HTTPException(404, f"the page has no file {name[:60]!a}")


def _answer(request: Request, path: Path) -> Response:
    """The file, or 304 to a browser that has it."""
    facts = path.stat()
    tag = _tag(path, facts.st_mtime_ns, facts.st_size)
    headers = {**HEADERS, "etag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=TYPES[path.suffix])


@cache
def _tag(path: Path, changed: int, size: int) -> str:
    """Of the content; the other two are there so that a changed file is read again."""
    with path.open("rb") as stream:
        return f'"{hashlib.file_digest(stream, "sha256").hexdigest()[:32]}"'
