"""What a run has learned: the averaged weights of one of its checkpoints, for export and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from jaxgen.config import Config
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.models import network as networks
from jaxgen.runs.folder import RunFolder
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.families import learner
from jaxgen.training.train_step import abstract_state, device_mesh, learning_rate


@dataclass(frozen=True)
class Trained:
    """params: the averaged weights, NumPy float32; step: of the checkpoint; score: its test loss, if measured."""

    config: Config
    classes: tuple[str, ...]  # their names, of a conditional model
    params: dict[str, np.ndarray]
    step: int
    score: float | None
    imported: dict[str, str]  # where its first weights came from, as `RunFolder.imported` tells it

    @property
    def facts(self) -> dict[str, object]:
        """How the weights came about, for a manifest."""
        facts: dict[str, object] = {"dataset": self.config.data.dataset, "steps": self.step, "test_loss": self.score}
        return facts | ({"imported": self.imported} if self.imported else {})


def load_trained(folder: Path, checkpoint: str = "last", say: Callable[[str], None] | None = None) -> Trained:
    """The weights of a run's checkpoint: 'last', 'best' (lowest test loss) or a step's number.

    Raises UsageError if that is none of them, JaxgenError if the run has no whole checkpoint.
    """
    run = RunFolder(folder)
    config = run.config()
    training = config.training
    checkpoints = Checkpoints(run.checkpoints)
    step = _chosen_step(checkpoints, checkpoint)
    learns = learner(config, networks.build(config), learning_rate(training, 1))
    like = abstract_state(learns, device_mesh())
    state = checkpoints.restore(like, step=step, say=say)
    if state is None:
        raise JaxgenError(f"{folder}: no checkpoint yet; train it first: jaxgen train --resume {folder}")
    params = {name: np.asarray(value) for name, value in jax.device_get(state.ema).items()}
    step = int(state.step)
    classes = run.classes() if config.classes else ()
    return Trained(
        config=config, classes=classes, params=params, step=step, score=checkpoints.score(step),
        imported=run.imported(),
    )  # fmt: skip


def _chosen_step(checkpoints: Checkpoints, name: str) -> int | None:
    if name == "last":
        return None
    if name == "best":
        best = checkpoints.best()
        if best is None:
            raise UsageError("no checkpoint has a test loss; choose last or a step's number")
        return best
    if not name.isdecimal() or int(name) not in checkpoints.steps():
        raise UsageError(f"checkpoint must be last, best or one of {checkpoints.steps()}, got {name!r}")
    return int(name)
