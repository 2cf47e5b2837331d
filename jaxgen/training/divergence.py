"""Divergence of a run: its first step whose metrics are not finite, and the error that says how to go on."""

from __future__ import annotations

import math
import shlex
from collections import deque
from collections.abc import Mapping

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen.runs.folder import RunFolder
from jaxgen.training.checkpoints import Checkpoints


class Diverged(JaxgenError):
    """A step whose metrics are not finite; its weights are not worth saving."""


class DivergenceCheck:
    """Checks the metrics of each step, and keeps those of the last `window` finite ones."""

    def __init__(self, run: RunFolder, checkpoints: Checkpoints, window: int) -> None:
        self._run, self._checkpoints = run, checkpoints
        self._newest: deque[dict[str, float]] = deque(maxlen=window)

    def finite_steps(self, metrics: Mapping[str, np.ndarray]) -> int:
        """How many of the first steps of a call, whose metrics are [K] each, are finite."""
        finite = np.isfinite(np.stack(list(metrics.values()))).all(0)
        good = len(finite) if finite.all() else int(finite.argmin())
        self._newest.extend({name: float(values[i]) for name, values in metrics.items()} for i in range(good))
        return good

    def means(self) -> dict[str, float]:
        """The mean of each metric over the steps that are kept, because a single batch is noisy."""
        first = next(iter(self._newest), {})
        return {name: sum(row[name] for row in self._newest) / len(self._newest) for name in first}

    def error(self, step: int, named: Mapping[str, float], prefix: str = "") -> Diverged:
        """The error of a step, which names these values."""
        found = prefix + ", ".join(f"{name} {value}" for name, value in named.items())
        last = f"{self._newest[-1]['loss']:.4g}" if self._newest else "none"
        command = f"jaxgen train --resume {shlex.quote(str(self._run.path))} --set training.lr=..."
        where = "go on from the last checkpoint" if self._checkpoints.steps() else "with no checkpoint yet, start again"
        return Diverged(
            f"{found} at step {step} (last finite loss: {last}); the step was not saved; {where} "
            f"with a lower lr or grad_clip, or with training.dtype=float32: {command}{self._best()}"
        )

    def _best(self) -> str:
        """What to do if the newest checkpoint, though finite, is wrecked: '' if none before it is known as better."""
        best = self._checkpoints.best()
        if best is None or best == self._checkpoints.steps()[-1]:
            return ""
        later = [shlex.quote(str(self._checkpoints.path(step))) for step in self._checkpoints.steps() if step > best]
        return (
            f"; if its images are wrecked already, the best checkpoint is that of step {best} "
            f"({self._checkpoints.measured(best)}): to go on from there, first delete {' '.join(later)}"
        )


def not_finite(values: Mapping[str, float]) -> dict[str, float]:
    """Those of the values that are NaN or infinite."""
    return {name: value for name, value in values.items() if not math.isfinite(value)}
