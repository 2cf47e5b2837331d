"""Encoding of arrays and images in a manifest: a certificate's test vectors, for readers in any language."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen.images import MAX_PIXELS, png_bytes, png_pixels

DTYPES = {"float32": "<f4", "int64": "<i8"}  # little-endian
MAX_ELEMENTS = 2**24


def encode(array: np.ndarray) -> dict[str, Any]:
    """{"dtype": "float32" or "int64", "shape", "data": base64 of the numbers, little-endian and row by row}."""
    data = np.ascontiguousarray(array).astype(DTYPES[str(array.dtype)]).tobytes()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": base64.b64encode(data).decode()}


def decode(value: object, name: str) -> np.ndarray:
    """The inverse of `encode`; name: of the array in messages. Raises JaxgenError on anything else."""
    if not isinstance(value, dict) or value.get("dtype") not in list(DTYPES) or not _is_shape(value.get("shape")):
        raise JaxgenError(f"{name}: expected a dtype of {', '.join(DTYPES)}, a shape and base64 data")
    shape, dtype = value["shape"], np.dtype(DTYPES[value["dtype"]])
    try:
        data = base64.b64decode(value.get("data", ""), validate=True)
    except (TypeError, ValueError) as err:
        raise JaxgenError(f"{name}: its data is not base64: {err}") from err
    if math.prod(shape) > MAX_ELEMENTS or len(data) != math.prod(shape) * dtype.itemsize:
        raise JaxgenError(f"{name}: expected {math.prod(shape)} numbers for the shape {shape}, got {len(data)} bytes")
    return np.frombuffer(data, dtype).astype(value["dtype"]).reshape(shape)


def encode_images(images: np.ndarray) -> list[str]:
    """Encode uint8 [N, H, W, C], C 1 or 3, as N base64 PNGs, for a certificate's probe."""
    return [base64.b64encode(png_bytes(image)).decode() for image in images]


def decode_images(texts: Sequence[str]) -> np.ndarray:
    """The inverse of `encode_images`: uint8 [N, H, W, C].

    Raises JaxgenError on anything but one or more base64 PNGs of one shape, with at most MAX_PIXELS together.
    """
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
        raise JaxgenError("expected a list of one or more base64 PNGs")
    images: list[np.ndarray] = []
    for number, text in enumerate(texts):
        try:
            png = base64.b64decode(text, validate=True)
        except ValueError as err:
            raise JaxgenError(f"image {number} is not base64: {err}") from err
        images.append(png_pixels(png, f"image {number}", MAX_PIXELS // len(texts)))
        if images[-1].shape != images[0].shape:
            raise JaxgenError(f"image {number}: expected {images[0].shape} as image 0, got {images[-1].shape}")
    return np.stack(images)


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 8 and all(type(one) is int and one >= 0 for one in value)
