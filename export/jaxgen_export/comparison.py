"""What certificates compare runtimes on: sizes of batches, inputs of a network, and the classes of the probe."""

from __future__ import annotations

from typing import Any

import numpy as np

BATCHES = (1, 2, 7)
PROBE = 8  # images that `jaxgen verify` samples or reads again
INPUTS = ("random", "constant")  # constant ones, each of another grey, on which normalisation amplifies rounding

Row = dict[str, Any]  # one comparison


def input_values(shape: tuple[int, ...], count: int, kind: str) -> np.ndarray:
    """Normals, or constants from -1 to 1: float32 [count, *shape]."""
    if kind == "constant":
        greys = np.linspace(-1, 1, count) if count > 1 else np.array([-1.0])
        return np.full((count, *shape), greys.reshape(-1, *(1 for _ in shape)), np.float32)
    return np.random.default_rng(count).standard_normal((count, *shape), np.float32)


def probe_labels(class_count: int) -> np.ndarray:
    """The classes in turn, -1 without classes: int64 [PROBE].

    A conditional model is hardly tested by images without a class.
    """
    return np.arange(PROBE) % class_count if class_count else np.full(PROBE, -1)
