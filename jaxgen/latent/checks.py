"""Checks of latents [N, D] before native code gets them: that of scikit-learn or LAPACK may crash, or fail in words of
its own, on values that are equal, not finite or out of range."""

from __future__ import annotations

import numpy as np

from jaxgen.errors import JaxgenError, UsageError

Array = np.ndarray
LARGEST = 1e15  # of a value in float32, whose square can still be summed
RESOLUTION = 1e-6  # share of the largest value; differences below it are lost in float32
SMALLEST = 1e-15  # of a difference, whose square float32 still holds


def require_finite(latents: Array, what: str = "latents") -> None:
    """Raise JaxgenError, which says how many rows [N, ...] hold NaN or infinity, if any does."""
    rows = np.isfinite(latents).reshape(len(latents), -1).all(1)
    if not rows.all():
        raise JaxgenError(
            f"{np.count_nonzero(~rows)} of {len(rows)} {what} are not finite (NaN or infinite): "
            "the model's weights are damaged or have diverged"
        )


def require_different(latents: Array, what: str, least: int) -> None:
    """Raise UsageError unless at least `least` of the latents differ, and JaxgenError if they are not finite.

    They differ if float32 can tell them apart. what: the method, in the message.
    """
    require_finite(latents)
    found = different(latents)
    if found < least:
        have = f"all {len(latents)} are equal" if found == 1 and len(latents) > 1 else f"got {found}"
        raise UsageError(f"{what} needs {least} or more different latents: {have}")
    if (largest := np.abs(latents).max()) > LARGEST:
        raise JaxgenError(f"{what} needs latents up to {LARGEST:g}, got {largest:.3g}; its weights have diverged")


def different(latents: Array) -> int:
    """How many rows of finite latents float32 can tell apart."""
    if not len(latents):
        return 0
    x = latents.astype(np.float64)
    x -= x.mean(0)
    if np.abs(x).max() <= max(RESOLUTION * np.abs(latents).max(), SMALLEST):
        return 1
    return len(np.unique(latents.astype(np.float32), axis=0))
