"""Encoding of arrays in a manifest: a certificate's test vectors, for readers in any language."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError

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


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 8 and all(type(one) is int and one >= 0 for one in value)
