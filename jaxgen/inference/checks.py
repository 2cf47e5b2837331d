"""Checks of a graph's inputs: each function returns the array, or raises UsageError with its name."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from jaxgen.errors import UsageError


def words(values: Any, what: str) -> np.ndarray:
    """[N] integers of 32 bits, N >= 1, as int64."""
    array = integers(values, what)
    if array.ndim != 1 or not array.size:
        raise UsageError(f"{what} must be one number for each image, got shape {array.shape}")
    require_range(array, 0, 2**32 - 1, what)
    return array.astype(np.int64)


def integers(values: Any, what: str) -> np.ndarray:
    array = _array(values, what)
    if array.dtype.kind not in "iu":
        raise UsageError(f"{what} must be integers of at most 64 bits, got {array.dtype}")
    return array


def floats(values: Any, what: str, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers of this shape as float32; numbers too large for float32 are refused."""
    array = _array(values, what)
    if array.dtype.kind not in "iuf":
        raise UsageError(f"{what} must be real numbers, got {array.dtype}")
    require_shape(array, shape, what)
    with np.errstate(over="ignore"):
        cast = array.astype(np.float32)
    if not np.isfinite(cast).all():
        raise UsageError(f"{what} must be finite float32 numbers")
    return cast


def scale(value: Any, what: str, most: float) -> np.ndarray:
    """One number from 0 to `most`, as float32 []."""
    array = _array(value, what)
    if array.dtype.kind not in "iuf" or array.shape != ():
        raise UsageError(f"{what} must be one number, got {ascii(value)[:60]}")
    if not 0 <= array <= most:  # also refuses NaN
        raise UsageError(f"{what} must be from 0 to {most:g}, got {value}")
    return array.astype(np.float32)


def seconds(value: Any, what: str) -> float | None:
    """Seconds as a float, None for no limit or one too long for a clock."""
    if value is None:
        return None
    array = _array(value, what)
    if array.dtype.kind not in "iuf" or array.shape != () or math.isnan(array):
        raise UsageError(f"{what} must be a number of seconds or None, got {ascii(value)[:60]}")
    return float(array) if array < threading.TIMEOUT_MAX else None


def _array(values: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError) as err:  # rows of different lengths, say
        raise UsageError(f"{what} must be an array of numbers: {' '.join(str(err).split())[:100]}") from err


def require_range(array: np.ndarray, least: int, most: int, what: str) -> None:
    wrong = array[(array < least) | (array > most)]
    if wrong.size:
        raise UsageError(f"{what} must be from {least} to {most}, got {wrong[0]}")


def require_shape(array: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    if array.shape != shape:
        raise UsageError(f"{what} must have the shape {shape}, got {array.shape}")
