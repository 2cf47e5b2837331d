"""When two sets of pictures are "the same pictures", and the check of a model file against its certificate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.artifact import decode_pictures
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.sampler import Sampler

LIMITS = {"identical": 0.995, "off_by": 2}  # share of equal pixels, at least; largest difference of one, at most


def compare_pictures(found: np.ndarray, want: np.ndarray) -> dict[str, Any]:
    """Share of identical pixels and the largest difference, of two uint8 arrays of one shape."""
    difference = np.abs(found.astype(np.int16) - want)
    return {"identical": float((difference == 0).mean()), "off_by": int(difference.max())}


def same_pictures(found: np.ndarray, want: np.ndarray) -> bool:
    """Whether two sets of pictures are the same within LIMITS."""
    if found.shape != want.shape:
        return False
    result = compare_pictures(found, want)
    return result["identical"] >= LIMITS["identical"] and result["off_by"] <= LIMITS["off_by"]


def verify(sampler: Sampler) -> dict[str, Any]:
    """Draw the certificate's probe here: {"same": bool, "identical": share, "off_by": int, "pictures": count}.

    Raises JaxgenError if the file has no probe or a broken one.
    """
    artifact = sampler.artifact
    seed = artifact.value("certificate.probe.seed", int)
    index = artifact.value("certificate.probe.index", list)
    label = artifact.value("certificate.probe.label", list)
    pictures = artifact.value("certificate.probe.pictures", list)
    try:
        want = decode_pictures(pictures)
        if want.shape != (len(index), *sampler.shape):
            raise UsageError(f"its pictures are {list(want.shape)}, expected {[len(index), *sampler.shape]}")
        found, _ = sampler.draw(np.full(len(index), seed), np.asarray(index), label=np.asarray(label))
    except (JaxgenError, ValueError) as err:  # ValueError: a ragged list is no array
        raise JaxgenError(f"{artifact.path}: its certificate's probe cannot be drawn: {err}") from err
    return {"same": same_pictures(found, want), **compare_pictures(found, want), "pictures": len(index)}


def worst(certificate: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Per backend, the largest error of each kind: what a person reads first."""
    rows: dict[str, dict[str, float]] = {}
    for kind in ("evaluation", "trajectories"):
        for row in certificate[kind]:
            found = rows.setdefault(row["backend"], {"relative": 0.0, "identical": 1.0, "off_by": 0})
            if kind == "evaluation":
                found["relative"] = max(found["relative"], row["relative"])
            else:
                found["identical"] = min(found["identical"], row["identical"])
                found["off_by"] = max(found["off_by"], row["off_by"])
    return rows
