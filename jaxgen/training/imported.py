"""A run made from weights that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import Config
from jaxgen.errors import UsageError
from jaxgen.models import network as networks
from jaxgen.runs.folder import RunFolder
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.families import learner
from jaxgen.training.train_step import device_mesh, learning_rate, make_init


def check_new(folder: Path) -> None:
    """Raise UsageError if a run cannot be made there: it holds one, or something else."""
    if RunFolder(folder).exists() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UsageError(f"{folder} is not empty; choose another -o")


def start_run(
    config: Config, params: Mapping[str, np.ndarray], folder: Path, *, classes: Sequence[str] = (),
    source: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write a run folder at step 0 whose weights, averaged ones included, are `params`; returns its checkpoint.

    What `params` leaves out (of a GAN, the discriminator may be missing) is fresh, and so is the optimiser: the run can
    be exported, and trained on. source: where they came from, as `RunFolder.imported` tells it.
    Raises UsageError if the folder is there and not empty.
    """
    check_new(folder)
    run = RunFolder(folder)
    with run.locked():
        learns = learner(config, networks.build(config), learning_rate(config.training, 1))
        state = make_init(learns, device_mesh())(jax.random.key(config.training.seed))
        given = {name: jnp.asarray(value) for name, value in params.items()}
        ema = {name: given.get(name, value) for name, value in state.ema.items()}
        state = state._replace(params=state.params | given, ema=ema)
        run.write(config, None, classes, imported=source)
        return Checkpoints(run.checkpoints).save(state)
