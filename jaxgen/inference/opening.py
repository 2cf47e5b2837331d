"""A model file of any kind, opened as what it is."""

from __future__ import annotations

from typing import Unpack

from jaxgen.inference import runtime as runtimes
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.network import Network
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.runtime import How
from jaxgen.inference.sampler import Model

KINDS: dict[str, type[Model] | type[Network]] = {"sampler": Model, "network": Network}


def opened(artifact: Artifact, **how: Unpack[How]) -> Model | Network | Predictor:
    """A file in the runtime that was chosen, by its kind; not held to its certificate, as `of` is."""
    kind = KINDS.get(artifact.inference.kind, Predictor)
    return kind(artifact, runtimes.load(artifact, **how))
