"""POST /generate, /generate-batch; GET /images: an image by its address."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from jaxgen import __version__
from jaxgen.inference.writers import FRAMES
from jaxgen_serve.api.dependencies import LARGE, off_loop, service_of
from jaxgen_serve.api.generation import (
    GenerationRequest,
    base64_png,
    checked_generation,
    require_moving,
    require_sheet,
    sample,
)
from jaxgen_serve.api.schemas import (
    PNG,
    BatchRequest,
    Count,
    ImageQuery,
    Name,
    SampledBatch,
    SampledImage,
    SampleRequest,
    Seed,
    answers,
    responses,
)

router = APIRouter(tags=["sample"])
USED_HEADER = "X-Jaxgen"
A_YEAR = "max-age=31536000, immutable"
MEDIA = ("image/png", "application/zip", "image/gif")


@router.post(
    "/generate",
    response_model=None,
    responses={**responses(400, 404, 409, 413, 503), 200: answers(SampledImage, "image/png")},
)
async def generate(request: Request, body: SampleRequest | None = None) -> Response:
    """Sample one image. With `Accept: image/png` the answer is the PNG, and its header X-Jaxgen holds the settings."""
    made = await sample(request, checked_generation(service_of(request), body or SampleRequest(), 1))
    used = {**made.used(0), "milliseconds": made.milliseconds}
    if "image/png" in request.headers.get("accept", ""):
        return png_response(made.png(0), used)
    return JSONResponse({**used, "image": base64_png(made.png(0))})


@router.get(
    "/images/{model}/{seed}/{index}.png",
    response_class=Response,
    responses={**responses(400, 404, 409, 503), 200: PNG, 304: {"description": "The client has this image."}},
)
async def image(
    request: Request, model: Name, seed: Seed, index: Seed, query: Annotated[ImageQuery, Query()]
) -> Response:
    """One image by its address, for links and caches. With `sha256`, it never changes."""
    body = SampleRequest(model=model, seed=seed, index=index, **query.model_dump())
    generation = checked_generation(service_of(request), body, 1)
    record = json.dumps([__version__, generation.provenance(index).record()], sort_keys=True)
    etag = f'"{hashlib.sha256(record.encode()).hexdigest()}"'
    # private, since the server may ask for a token
    headers = {"etag": etag, "cache-control": f"private, {A_YEAR if query.sha256 else 'no-cache'}"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    made = await sample(request, generation)
    return png_response(made.png(0), made.used(0), headers)


@router.post(
    "/generate-batch",
    response_model=None,
    responses={
        **responses(400, 404, 409, 413, 503),
        200: answers(SampledBatch, *MEDIA),
    },
)
async def generate_batch(
    request: Request,
    num_images: Count = 4,
    format: Annotated[Literal["list", "grid", "zip", "gif"], Query()] = "list",
    body: BatchRequest | None = None,
) -> Response:
    """Sample several images of one seed. The answer is a list, one sheet (a PNG), a ZIP of PNGs, or a GIF of the
    denoising."""
    service = service_of(request)
    generation = checked_generation(service, body or BatchRequest(), num_images)
    count = generation.request.count
    if format in ("grid", "gif"):
        require_sheet(generation.served, count)
    if format == "gif":
        require_moving(service, generation.served, count)
        return await animated(request, generation)
    made = await sample(request, generation)
    used = {**generation.used(count=count), "milliseconds": made.milliseconds}
    if format == "zip":
        content = await off_loop(made.images.size, made.zip)
        return file_response(generation, content, "application/zip", ".zip")
    if format == "grid":
        png = await off_loop(made.images.size * 4, made.sheet)
        return png_response(png, used)
    return JSONResponse({**used, "images": await off_loop(made.images.size, made.all)})


async def animated(request: Request, generation: GenerationRequest) -> Response:
    """Sample the images, and answer with a GIF of their denoising in at most FRAMES frames."""
    frames: list[np.ndarray] = []

    def on_frame(row: int, rows: int, images: np.ndarray) -> None:
        if row == rows or len(frames) < (FRAMES - 1) * row // rows:
            frames.append(images)

    made = await sample(request, generation, on_frame)
    return file_response(generation, await off_loop(LARGE, lambda: made.gif(frames)), "image/gif", "-denoise.gif")


def png_response(png: bytes, used: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(png, media_type="image/png", headers={**header(used), **(headers or {})})


def header(used: Mapping[str, Any]) -> dict[str, str]:
    """What was used, as a header may hold it: ASCII on one line, that can be sent back. Codes are too long for one, and
    were sent by whoever reads this."""
    left_out = ("latent", "latents", "milliseconds")
    return {USED_HEADER: json.dumps({key: value for key, value in used.items() if key not in left_out})}


def file_response(generation: GenerationRequest, content: bytes, media_type: str, ending: str) -> Response:
    name = generation.provenance(generation.request.first, generation.request.count).batch_name(
        generation.served.name, ending
    )
    headers = {**header(generation.used(count=generation.request.count)), **attachment(name)}
    return Response(content, media_type=media_type, headers=headers)


def attachment(name: str) -> dict[str, str]:
    """The name that a browser gives to a download."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    return {"content-disposition": f'attachment; filename="{plain}"'}
