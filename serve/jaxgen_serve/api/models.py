"""GET /models, /model-info, /model-file, /plan; POST /models."""

from __future__ import annotations

import base64
import copy
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, File, Query, Request, Response, UploadFile

from jaxgen.errors import UsageError
from jaxgen.inference.predictor import Predictor
from jaxgen_serve.api.dependencies import Service, service_of
from jaxgen_serve.api.generation import require_steps
from jaxgen_serve.api.images import attachment
from jaxgen_serve.api.schemas import Eta, Name, Steps, responses
from jaxgen_serve.api.uploads import add_model
from jaxgen_serve.errors import failure
from jaxgen_serve.models import description
from jaxgen_serve.models.registry import ServedModel

router = APIRouter(tags=["models"])
SECTIONS = ("config", "training", "scores", "certificate")  # of a manifest
Which = Annotated[Name | None, Query(description="Default: the first of /models.")]

Inputs = Annotated[
    Literal["optional", "required"],
    Query(description="required: a file without defaults, for runtimes that cannot override them, as in browsers."),
]

Part = Annotated[
    Literal["sampler", "encoder", "classifier"],
    Query(description="encoder: the file that encodes images, of a VAE; classifier: the one that /classify uses."),
]


@router.get("/models", responses=responses())
async def models(request: Request) -> dict[str, Any]:
    """The models that can sample, the refused files with the reason, and whether the server takes uploads."""
    service = service_of(request)
    return {
        "models": [described(service, served) for served in service.library.models()],
        "refused": service.library.refused,
        "uploads": service.settings.allow_uploads,
    }


@router.get("/model-info", responses=responses(404))
async def model_info(request: Request, model: Which = None) -> dict[str, Any]:
    """The records in a model's file: config, training, scores and certificate."""
    service = service_of(request)
    served = service.library.get(model)
    return {**described(service, served), **without_places(served)}


@router.get(
    "/model-file",
    response_class=Response,
    responses={
        **responses(400, 404),
        200: {"content": {"application/octet-stream": {}}, "description": "The .onnx file."},
    },
)
async def model_file(
    request: Request, model: Which = None, inputs: Inputs = "optional", part: Part = "sampler"
) -> Response:
    """The model's file, to sample on another machine, or a file that reads its images."""
    served = service_of(request).library.get(model)
    artifact = served.model.artifact
    if part != "sampler":
        reader: Predictor | None = getattr(served, part)
        if reader is None:
            raise UsageError(f"{served.name} has no {part} here")
        artifact = reader.artifact
    elif inputs == "required":
        artifact = await to_thread.run_sync(lambda: served.with_required_inputs)
    etag = f'"{artifact.sha256}"'
    name = f"{served.name}{'' if part == 'sampler' else f'.{part}'}.onnx"
    headers = {"etag": etag, "cache-control": "no-cache", **attachment(name)}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(artifact.data, media_type="application/octet-stream", headers=headers)


@router.get("/plan", responses=responses(400, 404))
async def plan(
    request: Request,
    model: Which = None,
    sampler: Annotated[Name | None, Query()] = None,
    steps: Annotated[Steps | None, Query()] = None,
    eta: Annotated[Eta | None, Query()] = None,
) -> dict[str, Any]:
    """A sampler's table, the graph's input `plan`: float32 [rows, 9] in base64."""
    service = service_of(request)
    loaded = service.library.get(model).model
    recipe = loaded.recipe(sampler=sampler, steps=require_steps(service, steps), eta=eta)
    require_steps(service, recipe.steps)
    table = loaded.table(recipe)
    return {**recipe._asdict(), "rows": len(table), "table": base64.b64encode(table.astype("<f4").tobytes()).decode()}


@router.post("/models", status_code=201, responses=responses(400, 413, 503), response_model=None)
async def upload(request: Request, file: Annotated[UploadFile, File()]) -> Response | dict[str, Any]:
    """Serve an uploaded model file, after a check in a separate process."""
    service = service_of(request)
    if not service.settings.allow_uploads:
        return failure(403, "this server takes no model files; its owner can allow them with --allow-uploads")
    return await add_model(service, file)


def described(service: Service, served: ServedModel) -> dict[str, Any]:
    return description.described(
        served.model,
        name=served.name,
        size=served.size,
        encoder=served.encoder is not None,
        classifier=served.classifier.classes if served.classifier else None,
        max_steps=service.settings.max_steps,
    )


def without_places(served: ServedModel) -> dict[str, Any]:
    """Sections of a file's manifest, without the paths of the machine that made it."""
    artifact = served.model.artifact
    manifest = copy.deepcopy({key: _object(artifact.manifest.get(key)) for key in SECTIONS})
    for section in (manifest["config"].get("data"), manifest["training"]):
        if isinstance(section, dict) and "dataset" in section:
            section["dataset"] = description.dataset(artifact)
    manifest["certificate"].pop("probe", None)  # images
    return {**manifest, "inference": artifact.inference.to_dict()}


def _object(value: object) -> dict[str, Any]:
    """The value if it is a JSON object, else {}."""
    return value if isinstance(value, dict) else {}
