"""Opening model files of any kind."""

from __future__ import annotations

from typing import Unpack

from jaxgen.inference import runtime as runtimes
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.network import Network
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.runtime import How

KINDS: dict[str, type[Model] | type[Network]] = {"sampler": Model, "network": Network}


def opened(artifact: Artifact, **how: Unpack[How]) -> Model | Network | Predictor:
    """Load a file of any kind into the chosen runtime; unlike `of`, without a check of its certificate."""
    kind = KINDS.get(artifact.inference.kind, Predictor)
    return kind(artifact, runtimes.load(artifact, **how))
