"""What goes into a model's graph, checked: each function gives the array, or raises UsageError with the name of it."""

from __future__ import annotations

import numpy as np

from jaxgen.errors import UsageError


def words(values: np.ndarray, what: str) -> np.ndarray:
    """[N] integers of 32 bits, N >= 1, as int64."""
    array = integers(values, what)
    if array.ndim != 1 or not array.size:
        raise UsageError(f"{what} must be one number for each picture, got shape {array.shape}")
    require_range(array, 0, 2**32 - 1, what)
    return array.astype(np.int64)


def integers(values: np.ndarray, what: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise UsageError(f"{what} must be integers of at most 64 bits, got {array.dtype}")
    return array


def finite(value: float, what: str) -> np.ndarray:
    if not np.isfinite(value):
        raise UsageError(f"{what} must be a finite number, got {value}")
    return np.asarray(value, np.float32)


def require_range(array: np.ndarray, least: int, most: int, what: str) -> None:
    wrong = array[(array < least) | (array > most)]
    if wrong.size:
        raise UsageError(f"{what} must be from {least} to {most}, got {wrong[0]}")


def require_shape(array: np.ndarray, want: tuple[int, ...], what: str) -> None:
    if array.shape != want:
        raise UsageError(f"{what} must have the shape {want}, got {array.shape}")
