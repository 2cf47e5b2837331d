"""A trained classifier that looks at a generator's pictures while it learns."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from jaxgen.config import Config
from jaxgen.errors import UsageError
from jaxgen.images import to_unit
from jaxgen.models import network as networks
from jaxgen.training.monitor import Judge
from jaxgen.training.trained import load_trained


def judge_of(config: Config) -> Judge | None:
    """The classifier that a config names, None if it names none.

    Raises UsageError if the run is no classifier, or one of other data.
    """
    named = getattr(getattr(config, "gan", None), "classifier", "")
    if not named:
        return None
    trained = load_trained(Path(named))
    other = trained.config
    if other.draws or (other.data.dataset, other.data.shape) != (config.data.dataset, config.data.shape):
        want = f"a classifier of {config.data.dataset} at {config.data.shape}"
        raise UsageError(f"gan.classifier: {named} is not {want}; train one: jaxgen train --model classifier")
    apply = jax.jit(networks.build(other).apply)

    def judge(pictures: np.ndarray) -> tuple[np.ndarray, float | None]:
        found = np.asarray(apply(trained.params, to_unit(pictures))).argmax(-1)
        shares = np.bincount(found, minlength=other.classes) / len(found)
        asked = np.arange(len(pictures)) % config.classes if config.classes else None
        return shares, None if asked is None else float((found == asked).mean())

    return judge
