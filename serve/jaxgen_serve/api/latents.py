"""POST /interpolate, /inpaint; GET /latent-map: `jaxgen.latent` over HTTP."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse

from jaxgen.images import png_bytes
from jaxgen.inference import sheets
from jaxgen.inference.provenance import LatentProvenance, provenance_text
from jaxgen.inference.writers import save_walk
from jaxgen.latent import inpainting, projection
from jaxgen_serve.api import interpolation
from jaxgen_serve.api.dependencies import in_thread, service_of
from jaxgen_serve.api.generation import GenerationRequest, base64_png, checked_generation, one_of
from jaxgen_serve.api.images import header, png_response
from jaxgen_serve.api.schemas import (
    PNG,
    Count,
    Guidance,
    Interpolation,
    InterpolationRequest,
    Name,
    SampledBatch,
    SampleRequest,
    Seed,
    Steps,
    answers,
    responses,
)
from jaxgen_serve.api.uploads import unknown, uploaded_image
from jaxgen_serve.batching.client import Caller, queued, space

T = TypeVar("T")
router = APIRouter(tags=["latent"])
Upload = Annotated[UploadFile, File(description="A PNG, JPEG, GIF or WebP; cropped and resized to the model's size.")]
FAILS = responses(400, 404, 413, 503)


@router.post(
    "/interpolate", response_model=None, responses={**FAILS, 200: answers(Interpolation, "image/png", "image/gif")}
)
async def interpolate(
    request: Request, body: InterpolationRequest, format: Annotated[Literal["list", "grid", "gif"], Query()] = "list"
) -> Response:
    """Interpolate between images in latent space: the frames are sampled or decoded, not blended."""
    way = interpolation.checked_interpolation(service_of(request), body)
    model = way.served.model
    if format == "grid":
        sheets.require_capacity(model.shape, way.frame_count, instead="ask for list")

    def work(caller: Caller) -> Response:
        walked = way.images(space(way.served, caller, **way.options()))  # [segments, frames, H, W, C]
        flat, used = walked.reshape(-1, *walked.shape[2:]), way.used()
        text = way.provenance()
        if format == "list":
            return JSONResponse({**used, "images": [{"image": base64_png(png_bytes(image, text))} for image in flat]})
        if format == "gif":
            buffer = io.BytesIO()
            save_walk(buffer, flat[:, None], untrained=model.untrained)
            return Response(buffer.getvalue(), media_type="image/gif", headers=header(used))
        sheet = sheets.marked(sheets.sheet_of_rows(walked), untrained=model.untrained)
        return png_response(png_bytes(sheet, text), used)

    return await calling(request, work)


@router.post("/inpaint", response_model=None, responses={**FAILS, 200: answers(SampledBatch)})
async def inpaint(
    request: Request,
    file: Upload,
    mask: Annotated[Name | None, Form(description="What to inpaint: top, bottom, left, right or center.")] = None,
    mask_file: Annotated[UploadFile | None, File(description="Or an image that is light where to inpaint.")] = None,
    model: Annotated[Name | None, Form()] = None,
    seed: Annotated[Seed | None, Form()] = None,
    label: Annotated[Name | None, Form()] = None,
    sampler: Annotated[Name | None, Form()] = None,
    steps: Annotated[Steps | None, Form()] = None,
    guidance: Annotated[Guidance | None, Form()] = None,
    resample: Annotated[int, Form(ge=1, le=50, description="How often each step is run, to fit the known part.")] = 1,
    num_images: Annotated[Count, Form()] = 1,
) -> dict[str, Any]:
    """Inpaint a part of an image with a model that has a plan. The rest of the image keeps its exact pixels."""
    service = service_of(request)
    body = SampleRequest(model=model, seed=seed, label=label, sampler=sampler, steps=steps, guidance=guidance)
    generation = checked_generation(service, body, num_images)
    generation.served.model.process()
    sent, masked = await file.read(), await mask_file.read() if mask_file else None
    most = service.settings.max_upload_pixels

    def work(caller: Caller) -> dict[str, Any]:
        shape = generation.served.model.shape
        known, hole = uploaded_image(sent, shape, most), unknown(mask, masked, shape, most)
        images = _inpainted(generation, caller, known, hole, resample)
        used = {**generation.used(count=num_images), "resample": resample}
        settings = {key: value for key, value in used.items() if key not in ("model", "sha256", "latent")}
        made = LatentProvenance(model=used["sha256"], command="inpaint", settings=settings)
        text = provenance_text(made.record())
        return {
            **used,
            "images": [
                {"image": base64_png(png_bytes(image, text)), **one_of(generation.used(i))}
                for i, image in enumerate(images)
            ],
        }

    return await calling(request, work)


@router.get(
    "/latent-map",
    response_class=Response,
    responses={**FAILS, 200: PNG | {"description": "Rows from the top; see X-Jaxgen-Reach."}},
)
async def latent_map(
    request: Request,
    model: Annotated[Name | None, Query()] = None,
    size: Annotated[int, Query(ge=2, le=40, description="Images per side.")] = 15,
    label: Annotated[Name | None, Query()] = None,
) -> Response:
    """Decode the plane of a VAE's two latents; X-Jaxgen-Reach: the largest coordinate."""
    service = service_of(request)
    served = service.library.get(model)
    service.require_room(size * size, served.model.shape)

    def work(caller: Caller) -> tuple[bytes, float]:
        codes = space(served, caller).codes()
        image, reach = projection.sheet(codes, size, codes.labels(1, label))
        settings = {"method": "manifold", "side": size, "label": label}
        made = LatentProvenance(model=served.model.artifact.sha256, command="map", settings=settings)
        return png_bytes(image, provenance_text(made.record())), reach

    png, reach = await calling(request, work)
    return Response(png, media_type="image/png", headers={"X-Jaxgen-Reach": f"{reach:.6f}"})


async def calling(request: Request, work: Callable[[Caller], T]) -> T:
    """Run `work` in a thread, with a caller whose calls end with the request. Raises as `in_thread`."""
    service = service_of(request)
    caller = Caller(service.engine, service.settings.deadline)
    return await in_thread(request, lambda: work(caller), caller.cancel)


def _inpainted(
    generation: GenerationRequest, caller: Caller, known: np.ndarray, hole: np.ndarray, resample: int
) -> np.ndarray:
    request, model = generation.request, generation.served.model
    plan = request.plan(model)
    assert plan is not None  # `inpaint` has checked that there is a process
    return inpainting.inpaint(
        queued(generation.served, caller), known, hole, plan, seed=request.seed, index=generation.index,
        label=model.labels(request.label, generation.index), guidance=request.guidance, resample=resample,
    )  # fmt: skip
