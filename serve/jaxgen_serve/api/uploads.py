"""Untrusted uploads: images, measured before they are decoded; model files, tried in a separate process."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from fastapi import UploadFile
from PIL import Image

from jaxgen.data.decode import decode
from jaxgen.data.transforms import fit, flatten
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import write_atomically
from jaxgen.images import open_header
from jaxgen.inference import model_file as artifacts
from jaxgen.latent.inputs import REGIONS, mask
from jaxgen_serve.api.dependencies import Service
from jaxgen_serve.batching.requests import Busy
from jaxgen_serve.models import sandbox
from jaxgen_serve.models.registry import ENCODER, NotServed

FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.onnx")


def uploaded_image(data: bytes, shape: tuple[int, int, int], max_pixels: int) -> np.ndarray:
    """An uploaded image's first frame, upright, cropped and resized as `jaxgen latent` does: uint8 [H, W, C].

    Raises UsageError on anything but a PNG, JPEG, GIF or WebP of at most `max_pixels`, before larger ones are decoded.
    """
    if _pixels(data) > max_pixels:
        raise UsageError(f"the image has too many pixels: at most {max_pixels} are read here")
    try:
        pixels = decode(data, "the image")
    except JaxgenError as err:
        raise UsageError("the image is damaged or cut short") from err
    return fit(flatten(pixels[None]), shape[0], shape[2])[0]


def _pixels(data: bytes) -> float:
    """How many pixels an image claims to have; inf: so many that Pillow does not open it."""
    try:
        with open_header(data, FORMATS) as image:
            return image.width * image.height
    except Image.DecompressionBombError:
        return math.inf
    except Exception as err:  # Pillow's readers raise a dozen types
        raise UsageError(f"not an image that is read here; those are {', '.join(FORMATS)}") from err


def unknown(word: str | None, data: bytes | None, shape: tuple[int, int, int], max_pixels: int) -> np.ndarray:
    """The part to inpaint: bool [H, W], from a region's name or an uploaded image that is light there.

    Raises UsageError unless exactly one is given and covers a part of the image.
    """
    if (word is None) == (data is None):
        raise UsageError(
            f"give either mask, one of {', '.join(REGIONS)}, or mask_file, an image light where to inpaint"
        )
    if word is not None:
        if word not in REGIONS:  # never a path, which `mask` would read from this machine
            raise UsageError(f"mask must be one of {', '.join(REGIONS)}, got {word[:60]!a}")
        return mask(word, shape)
    light = uploaded_image(data or b"", (shape[0], shape[1], 1), max_pixels)[..., 0] >= 128
    if light.all() or not light.any():
        raise UsageError("mask_file must be light where to inpaint and dark elsewhere, with some of each")
    return light


async def add_model(service: Service, file: UploadFile) -> dict[str, Any]:
    """Check, keep and serve an uploaded model file; returns its name and hash. Files are checked one at a time.

    Raises JaxgenError if it is not a jaxgen model, UsageError on a name that is taken or not plain, Busy while others
    are checked.
    """
    trials = service.trials
    async with trials.turn(service.settings.deadline):
        return await trials.run(lambda: _add_model(service, file.filename or "", file.file.read()))


def _add_model(service: Service, file_name: str, data: bytes) -> dict[str, Any]:
    settings = service.settings
    if file_name.endswith(ENCODER):
        raise UsageError("encoders are not taken here; put one beside its model, in a folder that is served")
    if not NAME.fullmatch(file_name):
        raise UsageError("the file must be called NAME.onnx, NAME being at most 64 letters, digits, '-' or '_'")
    if len(data) > settings.max_model:
        raise UsageError(f"a model file may have {settings.max_model} bytes here, got {len(data)}")
    artifact = artifacts.parse(data, file_name)  # parsing runs no code of the file
    name, sha256 = file_name.removesuffix(".onnx"), artifact.sha256
    if _served(service, name) != sha256:
        _require_room(service, name)
        sandbox.attempt(file_name, data, settings.deadline)
        _keep(service, file_name, sha256, data)
    return {"name": name, "sha256": sha256}


def _served(service: Service, name: str) -> str | None:
    """The hash of the model of this name; None: there is none."""
    try:
        return service.library.get(name).model.artifact.sha256
    except NotServed:
        return None


def _require_room(service: Service, name: str) -> None:
    if _served(service, name) is not None:
        raise UsageError(f"there is another model {name!r} here; give the file another name")
    most = service.settings.max_models
    if sum(1 for _ in service.settings.uploads.glob("*/*.onnx")) >= most:
        raise UsageError(f"this server keeps at most {most} uploaded models, and has that many")


def _keep(service: Service, file_name: str, sha256: str, data: bytes) -> None:
    folder = service.settings.uploads / sha256
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / file_name, data)
    except (OSError, JaxgenError) as err:
        raise Busy(f"{file_name}: the server's disk does not take it", retry_after=60.0) from err
    service.library.refresh()
    if _served(service, file_name.removesuffix(".onnx")) != sha256:
        (folder / file_name).unlink(missing_ok=True)
        raise JaxgenError(service.library.refused.get(file_name, f"{file_name}: refused: it cannot be loaded"))
