"""Features of images: what a frozen classifier or encoder makes of them."""

from __future__ import annotations

import os
from typing import NamedTuple, Self, Unpack

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.runtime import How


class Features(NamedTuple):
    """features: [N, D] float64; logits: [N, K] float64, None of an extractor that tells no classes."""

    features: np.ndarray
    logits: np.ndarray | None


class Extractor:
    """A model file that `jaxgen export` writes: a classifier, whose features are its last hidden layer, or the encoder
    of a VAE, whose features are the posterior's means."""

    def __init__(self, predictor: Predictor) -> None:
        """Raises UsageError for a classifier that gives no features, or an encoder that must be told the class."""
        path = predictor.artifact.path
        if predictor.kind == "classifier" and "features" not in predictor.outputs:
            raise UsageError(f"{path}: gives no features, as classifiers of jaxgen 0.1 did not; export it again")
        if "label" in predictor.session.inputs:
            raise UsageError(f"{path}: reads an image only with its class, and the class of a generated one is unsure")
        self.predictor = predictor

    @classmethod
    def open(cls, path: str | os.PathLike[str], **how: Unpack[How]) -> Self:
        """Raises as `Predictor.open` does, and UsageError as above."""
        return cls(Predictor.open(path, **how))

    @property
    def sha256(self) -> str:
        """The hash of its file, which a report names."""
        return self.predictor.artifact.sha256

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it tells apart; () of an encoder."""
        return self.predictor.classes if self.predictor.kind == "classifier" else ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that it reads."""
        return self.predictor.shape

    @property
    def width(self) -> int:
        """How many features it gives an image."""
        size = self.predictor.session.outputs["features" if self.classes else "mean"][-1]
        return size if isinstance(size, int) else 0

    def why_no_labels(self, classes: tuple[str, ...]) -> str:
        """Why images of these classes cannot be compared with what the extractor reads in them; '' if they can."""
        if not classes:
            return "its images are of no known classes"
        if not self.classes:
            return "the extractor is an encoder, which tells no classes"
        return "" if self.classes == classes else "the extractor's classes are not the model's"

    def __call__(self, images: np.ndarray) -> Features:
        """Raises UsageError for images of another shape than it reads: uint8 [N, H, W, C]."""
        if images.shape[1:] != self.shape:
            raise UsageError(f"the extractor reads images of {list(self.shape)}, got {list(images.shape[1:])}")
        outputs = self.predictor.read(images)
        if not self.classes:
            return Features(outputs["mean"].astype(np.float64), None)
        return Features(outputs["features"].astype(np.float64), outputs["logits"].astype(np.float64))
