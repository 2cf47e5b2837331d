"""GET /app: the page's files, and onnxruntime-web's if this machine has them; GET /docs: Swagger UI."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from jaxgen_serve.web import PAGE
from jaxgen_serve.web.npm_packages import ONNXRUNTIME

FILES = StaticFiles(directory=PAGE)
SWAGGER = StaticFiles(directory=Path(fastapi_offline.__file__).with_name("static"))  # only its files are used
BASE = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
POLICY = "; ".join(
    (
        BASE,
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self' blob:",  # onnxruntime's threads
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self' data: blob:",
        "form-action 'self'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",  # with the next one: threads in WebAssembly
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # cached, but revalidated each time: the answer is 304
}
for ending, kind in {".js": "text/javascript", ".wasm": "application/wasm", ".svg": "image/svg+xml"}.items():
    mimetypes.add_type(kind, ending)  # some systems map them to types that browsers refuse

router = APIRouter(include_in_schema=False)  # pages, not a part of the API


@router.api_route("/app", methods=["GET", "HEAD"])
async def bare(request: Request) -> Response:
    """Redirect to the address with a slash, which relative links need."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/app/")


@router.get("/app/ort/files.json")
async def runtime_files() -> Response:
    """List the files of onnxruntime-web that are here: a browser would log an error for each missing one."""
    folder = ONNXRUNTIME.folder()
    names = sorted(path.name for path in folder.iterdir()) if folder else []
    return JSONResponse({"files": names}, headers=HEADERS)


@router.api_route("/app/ort/{name:path}", methods=["GET", "HEAD"])
async def runtime(request: Request, name: str) -> Response:
    """onnxruntime-web's files, for sampling on the visitor's device."""
    folder = ONNXRUNTIME.folder()
    if folder is None:
        raise HTTPException(404, "onnxruntime-web is not on this machine; 'jaxgen export --web' fetches it")
    return await _file(request, StaticFiles(directory=folder), name)


@router.api_route("/app/{name:path}", methods=["GET", "HEAD"])
async def file(request: Request, name: str) -> Response:
    return await _file(request, FILES, name or "index.html")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Swagger UI for the API. Its addresses are relative, since a proxy may add a prefix."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="jaxgen API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="app/icon.svg",
        swagger_ui_parameters={"validatorUrl": None},  # which is another host
    )
    inline = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(code).digest()).decode()}'" for code in inline)
    page.headers["content-security-policy"] = (
        f"{BASE}; script-src 'self' {hashes}; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; form-action 'self'"
    )
    return page


@router.get("/docs/{name:path}")
async def swagger(request: Request, name: str) -> Response:
    return await _file(request, SWAGGER, name)


async def _file(request: Request, files: StaticFiles, name: str) -> Response:
    """A file of a folder, or 304 to a browser that has it; 404 for everything else."""
    response = await files.get_response(name, request.scope)
    response.headers.update(HEADERS)
    return response
