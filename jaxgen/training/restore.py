"""Loading the averaged weights of a run's checkpoint, and starting a run from given weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import Config
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.models import network as networks
from jaxgen.models.numerics import root_key
from jaxgen.runs.folder import RunFolder
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.environment import describe_environment
from jaxgen.training.families import learner
from jaxgen.training.train_step import abstract_state, device_mesh, learning_rate, make_init


@dataclass(frozen=True)
class Trained:
    """params: the averaged weights, NumPy float32; step: of the checkpoint; score: its test loss, if measured."""

    config: Config
    classes: tuple[str, ...]  # class names of a conditional model
    params: dict[str, np.ndarray]
    step: int
    score: float | None
    teacher: dict[str, Any]  # what it learned from, as in `RunFolder.teacher_record`
    imported: dict[str, str]  # where its first weights came from, as in `RunFolder.imported`
    palette: tuple[str, ...] = ()  # the colours of its data, if they are few

    @property
    def facts(self) -> dict[str, object]:
        """The training record for a manifest."""
        facts: dict[str, object] = {"dataset": self.config.data.dataset, "steps": self.step, "test_loss": self.score}
        sources = {"teacher": self.teacher, "imported": self.imported}
        return facts | {name: source for name, source in sources.items() if source}


def load_trained(folder: Path, checkpoint: str = "last", say: Callable[[str], None] | None = None) -> Trained:
    """The weights of a run's checkpoint: 'last', 'best' (lowest FID, or else test loss) or a step's number.

    Raises UsageError if `checkpoint` is none of these, JaxgenError if the run has no whole checkpoint.
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
    classes = run.classes() if config.class_count else ()
    return Trained(
        config=config, classes=classes, params=params, step=step, score=checkpoints.score(step),
        teacher=run.teacher_record(), imported=run.imported(), palette=run.palette(),
    )  # fmt: skip


def _chosen_step(checkpoints: Checkpoints, name: str) -> int | None:
    if name == "last":
        return None
    if name == "best":
        best = checkpoints.best()
        if best is None:
            raise UsageError("no checkpoint has a score; choose last or a step's number")
        return best
    if not name.isdecimal() or int(name) not in checkpoints.steps():
        raise UsageError(f"checkpoint must be last, best or one of {checkpoints.steps()}, got {name!r}")
    return int(name)


def check_new(folder: Path) -> None:
    """Raise UsageError unless `folder` is missing or empty."""
    if RunFolder(folder).exists() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UsageError(f"{folder} is not empty; choose another -o")


def start_run(
    config: Config, params: Mapping[str, np.ndarray], folder: Path, *, classes: Sequence[str] = (),
    source: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write a run folder at step 0 whose weights, averaged ones included, are `params`; returns its checkpoint.

    Missing weights (such as a GAN's discriminator) and the optimiser are initialised, so that the run can be exported
    and trained further. source: where the weights came from, as in `RunFolder.imported`.
    Raises UsageError if the folder is not empty.
    """
    check_new(folder)
    run = RunFolder(folder)
    with run.locked():
        learns = learner(config, networks.build(config), learning_rate(config.training, 1))
        state = make_init(learns, device_mesh())(root_key(config.training.seed))
        given = {name: jnp.asarray(value) for name, value in params.items()}
        ema = {name: given.get(name, value) for name, value in state.ema.items()}
        state = state._replace(params=state.params | given, ema=ema)
        run.write(config, None, classes, imported=source, machine=describe_environment())
        return Checkpoints(run.checkpoints).save(state)
