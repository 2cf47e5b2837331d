"""A sheet of the most typical and of the worst of many generated images."""

from __future__ import annotations

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.evaluation.metrics import realism
from jaxgen.images import captioned, grid

COLUMNS, ROWS = 10, 4  # of each half


def order(generated: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The rows of generated images from the most typical to the worst, by their realism in feature space: [N] int."""
    return np.argsort(-realism(generated, real), kind="stable")


def sheet(images: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, C] and their rows in `order` -> one image [H', W', C]: the first above the last ones, the worst
    of all first. Raises UsageError for fewer than two images."""
    count = min(COLUMNS * ROWS, len(ranks) // 2)
    if not count:
        raise UsageError(f"a sheet of typical and worst images needs at least 2, got {len(ranks)}")
    halves = {
        f"the {count} most typical of {len(ranks):,}": ranks[:count],
        f"the {count} worst, from the worst on": ranks[::-1][:count],
    }
    parts = [captioned(grid(images[rows], columns=min(COLUMNS, count)), title) for title, rows in halves.items()]
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in parts])
