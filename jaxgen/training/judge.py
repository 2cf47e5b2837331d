"""A trained classifier that looks at a generator's pictures while it learns."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np

from jaxgen.config import Config
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import to_unit
from jaxgen.models import network as networks
from jaxgen.training.families import FAMILIES
from jaxgen.training.monitor import Judge
from jaxgen.training.restore import load_trained


def judge_of(config: Config, classifier: Path | None, *, again: bool = False) -> Judge | None:
    """The classifier of a run, to look at what `config` draws; None if no run is named.

    again: it is one that a run was given when it began. If it is gone since, the run goes on without, and stderr says
    so in a line. Raises UsageError if the run is no classifier of this data, or if the family looks at none.
    """
    if classifier is None:
        return None
    try:
        return _judge(config, classifier)
    except JaxgenError as err:
        if not again:
            raise UsageError(f"--classifier: {err}") from err
        if jax.process_index() == 0:
            print(f"warning: going on without the classifier: {err}", file=sys.stderr)
        return None


def _judge(config: Config, classifier: Path) -> Judge:
    if not FAMILIES[config.family].judged:
        raise UsageError(f"it watches which classes a GAN draws; {config.name} is of family {config.family!r}")
    trained = load_trained(classifier)
    other = trained.config
    if other.draws or (other.data.dataset, other.data.shape) != (config.data.dataset, config.data.shape):
        want = f"a classifier of {config.data.dataset} at {config.data.shape}"
        raise UsageError(f"{classifier} is not {want}; train one: jaxgen train --model classifier")
    apply = jax.jit(networks.build(other).apply)

    def judge(pictures: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, float | None]:
        found = np.asarray(apply(trained.params, to_unit(pictures))).argmax(-1)
        shares = np.bincount(found, minlength=other.classes) / len(found)
        return shares, None if labels is None else float((found == labels).mean())

    return judge
