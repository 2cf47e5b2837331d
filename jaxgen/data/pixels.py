"""Pixels of other types than uint8, as uint8: only where it is clear which values are black and white."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxgen.errors import JaxgenError

DEEP = 4096  # the values of 12 bits: with pixels below it alone, 16 bits may hold 12, or a dark image


class Scale(NamedTuple):
    """The values of black and white."""

    black: float
    white: float


def scale_of(arrays: Sequence[np.ndarray], name: str, *, white: float = 0) -> Scale:
    """The scale of arrays of one type, taken together.

    white: 0: by the values. Then 0 to 1 (or, of floats, -1 to 1) are fractions, 128 to 255 have 8 bits, and 16-bit
    integers from 4096 on have 16. All others could mean several things, and raise JaxgenError, which says how to name
    the white; so do NaN, infinities and negative integers.
    """
    dtype = np.result_type(*arrays)
    if dtype == np.bool_:
        return Scale(0, 1)
    if dtype.kind not in "uif":
        raise JaxgenError(f"{name}: pixels must be numbers, got {dtype}")
    values = [array for array in arrays if array.size]
    low, high = min((float(a.min()) for a in values), default=0.0), max((float(a.max()) for a in values), default=0.0)
    if not np.isfinite([low, high]).all():
        raise JaxgenError(f"{name}: its pixels are not all finite numbers")
    if not white and dtype.kind == "f" and -1 <= low < 0 and high <= 1:
        return Scale(-1, 1)
    if low < 0:
        raise JaxgenError(f"{name}: its pixels are from {low:g} to {high:g} ({dtype}), and none may be negative")
    return Scale(0, white or _white(dtype, low, high, name))


def scaled(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Numbers of any shape as uint8: 0 for black, 255 for white and what is lighter."""
    if scale == (0, 255) and values.dtype.kind in "ui":
        return np.minimum(values, 255).astype(np.uint8)
    if scale == (0, 65535) and values.dtype.kind in "ui":
        return (np.minimum(values, 65535) >> 8).astype(np.uint8)
    share = (values.astype(np.float64) - scale.black) / (scale.white - scale.black)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def _white(dtype: np.dtype, low: float, high: float, name: str) -> float:
    if high <= 1:
        return 1.0
    if 127 < high <= 255:
        return 255.0
    if DEEP <= high <= 65535 and dtype.kind in "ui" and dtype.itemsize == 2:
        return 65535.0
    guesses = [str(2**bits - 1) for bits in (4, 8, 10, 12, 14, 16) if 2**bits > high][:3]
    raise JaxgenError(
        f"{name}: its pixels are from {low:g} to {high:g} ({dtype}), which does not say which value is white; name it, "
        f"such as {' or '.join(guesses) or '1000'}: --set data.white=..., or ?white=... after the path"
    )
