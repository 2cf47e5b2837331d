"""POST /reconstruct, /anomaly, /classify: what a VAE or a classifier makes of an uploaded image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Form, Request, UploadFile

from jaxgen.errors import UsageError
from jaxgen.images import png_bytes
from jaxgen.latent import anomaly as anomalies
from jaxgen.latent.spaces import Codes
from jaxgen_serve.api.dependencies import service_of
from jaxgen_serve.api.generation import base64_png
from jaxgen_serve.api.latents import FAILS, Upload, calling
from jaxgen_serve.api.schemas import Anomaly, Classification, Name, Reconstruction, answers
from jaxgen_serve.api.uploads import uploaded_image
from jaxgen_serve.batching.client import Caller, queued_predictor, space
from jaxgen_serve.models.registry import ServedModel

router = APIRouter(tags=["latent"])
OWN = 64  # images of a model's own that a score is compared with


@router.post("/reconstruct", response_model=None, responses={**FAILS, 200: answers(Reconstruction)})
async def reconstruct(
    request: Request,
    file: Upload,
    model: Annotated[Name | None, Form()] = None,
    label: Annotated[Name | None, Form()] = None,
) -> dict[str, Any]:
    """Encode an image and decode its latent again."""

    def analyse(codes: Codes, image: np.ndarray, number: np.ndarray | None) -> dict[str, Any]:
        latent = codes.encode(image, number)
        return {"reconstruction": _png(codes.decode(latent, number)[0]), "latent": latent[0].tolist()}

    return await _analysed(request, file, model, label, analyse)


@router.post("/anomaly", response_model=None, responses={**FAILS, 200: answers(Anomaly)})
async def anomaly(
    request: Request,
    file: Upload,
    model: Annotated[Name | None, Form()] = None,
    label: Annotated[Name | None, Form()] = None,
) -> dict[str, Any]:
    """Score how anomalous an image is to a VAE, in nats; `heat` is red where it differs from its reconstruction."""

    def analyse(codes: Codes, image: np.ndarray, number: np.ndarray | None) -> dict[str, Any]:
        result = anomalies.score(codes, image, number)
        return {
            "reconstruction": _png(result.decoded[0]),
            "latent": result.latent[0].tolist(),
            "score": float(result.total[0]),
            "reconstruction_nats": float(result.reconstruction[0]),
            "kl": float(result.kl[0]),
            "heat": _png(anomalies.heat(image, result.decoded)[0]),
            "usual": usual_scores(codes, number),
        }

    return await _analysed(request, file, model, label, analyse)


@router.post("/classify", response_model=None, responses={**FAILS, 200: answers(Classification)})
async def classify(request: Request, file: Upload, model: Annotated[Name | None, Form()] = None) -> dict[str, Any]:
    """Say which class an image shows, by the classifier that comes with jaxgen for the model's dataset."""
    service = service_of(request)
    served, sent = service.library.get(model), await file.read()
    if served.classifier is None:
        raise UsageError(f"no classifier comes with jaxgen for the images of {served.name}")
    classifier = served.classifier

    def work(caller: Caller) -> dict[str, Any]:
        image = uploaded_image(sent, served.model.shape, service.settings.max_upload_pixels)
        logits = queued_predictor(classifier, caller).read(image[None])["logits"][0].astype(np.float64)
        shares = np.exp(logits - logits.max())
        names = classifier.classes
        return {
            "model": served.name,
            "sha256": classifier.artifact.sha256,
            "original": _png(image),
            "class_name": names[int(logits.argmax())],
            "probabilities": dict(zip(names, (shares / shares.sum()).tolist(), strict=True)),
        }

    return await calling(request, work)


async def _analysed(
    request: Request,
    file: UploadFile,
    name: str | None,
    label: str | None,
    analyse: Callable[[Codes, np.ndarray, np.ndarray | None], dict[str, Any]],
) -> dict[str, Any]:
    """The answer on an uploaded image: the result of `analyse`(codes, image [1, H, W, C], label [1] or None) and the
    settings."""
    service = service_of(request)
    served = service.library.get(name)
    sent = await file.read()

    def work(caller: Caller) -> dict[str, Any]:
        codes = space(served, caller).codes()
        codes.require_way_back()
        number = _label(served, label)
        image = uploaded_image(sent, served.model.shape, service.settings.max_upload_pixels)[None]
        result = analyse(codes, image, None if number is None else np.array([number]))
        used = {
            "model": served.name,
            "sha256": served.model.artifact.sha256,
            "label": number,
            "class_name": None if number is None else served.model.classes[number],
            "untrained": served.model.untrained,
        }
        return {**used, "original": _png(image[0]), **result}

    return await calling(request, work)


def _label(served: ServedModel, label: str | None) -> int | None:
    """A class's number; None for models without. Raises UsageError if the model needs one and none is given."""
    model = served.model
    if label is None and model.least_label == 0:
        known = f"0 to {len(model.classes) - 1}: {', '.join(model.classes)}"
        raise UsageError(f"{served.name} needs the image's class ({known}): give a label")
    return None if not model.classes and label is None else model.label(label)


def usual_scores(codes: Codes, label: np.ndarray | None) -> list[float]:
    """Between which scores nine in ten images of the model's own are: a yardstick. label: [1], or None."""
    index = np.arange(OWN)
    labels = None if label is None else np.repeat(label, OWN)
    images, _ = codes.model.sample(np.zeros(OWN, np.int64), index, label=labels)
    return np.percentile(anomalies.score(codes, images, labels).total, (5, 95)).tolist()


def _png(image: np.ndarray) -> str:
    return base64_png(png_bytes(image))
