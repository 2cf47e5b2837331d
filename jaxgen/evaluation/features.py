"""Features of images: what the last hidden layer of a frozen classifier makes of them."""

from __future__ import annotations

import os
from typing import NamedTuple, Self, Unpack

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.runtime import How


class Features(NamedTuple):
    """features: [N, D] float64; logits: [N, K] float64."""

    features: np.ndarray
    logits: np.ndarray


class Extractor:
    """A classifier's model file, as `jaxgen export` writes it of a run of `jaxgen train --model classifier`."""

    def __init__(self, classifier: Predictor) -> None:
        """Raises UsageError for a file that is no classifier, or one that gives no features."""
        path = classifier.artifact.path
        if classifier.kind != "classifier":
            raise UsageError(f"{path}: an extractor is a classifier, and this is an {classifier.kind}")
        if "features" not in classifier.outputs:
            raise UsageError(f"{path}: gives no features, as classifiers of jaxgen 0.1 did not; export it again")
        self.classifier = classifier

    @classmethod
    def open(cls, path: str | os.PathLike[str], **how: Unpack[How]) -> Self:
        """Raises as `Predictor.open` does, and UsageError as above."""
        return cls(Predictor.open(path, **how))

    @property
    def sha256(self) -> str:
        """The hash of its file, which a report names."""
        return self.classifier.artifact.sha256

    @property
    def classes(self) -> tuple[str, ...]:
        return self.classifier.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that it reads."""
        return self.classifier.shape

    def __call__(self, images: np.ndarray) -> Features:
        """Raises UsageError for images of another shape than it reads: uint8 [N, H, W, C]."""
        if images.shape[1:] != self.shape:
            raise UsageError(f"the extractor reads images of {list(self.shape)}, got {list(images.shape[1:])}")
        outputs = self.classifier.read(images)
        return Features(outputs["features"].astype(np.float64), outputs["logits"].astype(np.float64))
