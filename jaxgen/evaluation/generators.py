"""Models whose images are scored, behind one protocol: here a model file, in `jaxgen.training.run_generator` a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, Unpack

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.evaluation.likelihood import LIKELIHOODS, Autoencoder
from jaxgen.inference.decoder import Decoder
from jaxgen.inference.model import Model
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.request import Request
from jaxgen.inference.runtime import How
from jaxgen.shipped import ENCODER


class Settings(NamedTuple):
    """How a model is to sample; None: as it does by itself."""

    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    spacing: str | None = None


class Generator(Protocol):
    """A model; `classes` are those that its images are conditioned on, in turn."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def count(self, wanted: int) -> int:
        """How many images there are, `wanted` at most."""
        ...

    def evaluations(self, settings: Settings) -> int:
        """The rows of its plan: evaluations of the network an image. Raises UsageError for what it cannot do."""
        ...

    def batches(self, count: int, *, seed: int, settings: Settings, batch_size: int) -> Iterator[np.ndarray]:
        """The first `count` images of a seed, uint8 [n, H, W, C] at a time."""
        ...

    def autoencoder(self) -> Autoencoder:
        """What the likelihood of images is measured by. Raises JaxgenError, with the reason, if there is none."""
        ...


def labels(model: Generator, count: int) -> np.ndarray | None:
    """The class of each of the first `count` images, [count] int; None of an unconditional model."""
    return np.arange(count) % len(model.classes) if model.classes else None


@dataclass(frozen=True)
class FileGenerator:
    """A model file; its encoder, if it has one, is the file beside it."""

    model: Model
    how: How

    @classmethod
    def open(cls, path: Path, **how: Unpack[How]) -> Self:
        """Raises as `Model.open` does."""
        return cls(Model.open(path, **how), how)

    @property
    def name(self) -> str:
        return str(self.model.artifact.path)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.model.shape

    @property
    def classes(self) -> tuple[str, ...]:
        return self.model.classes

    def count(self, wanted: int) -> int:
        return wanted

    def evaluations(self, settings: Settings) -> int:
        recipe = self._request(settings).recipe
        return recipe.steps if recipe else 1

    def batches(self, count: int, *, seed: int, settings: Settings, batch_size: int) -> Iterator[np.ndarray]:
        return self._request(settings, count, seed).batches(self.model, batch_size)

    def _request(self, settings: Settings, count: int = 1, seed: int = 0) -> Request:
        label = "all" if self.classes else None
        return Request.checked(
            self.model, seed=seed, first=0, count=count, label=label, eta=None, **settings._asdict()
        )  # fmt: skip

    def autoencoder(self) -> Autoencoder:
        artifact = self.model.artifact
        if artifact.inference.process or not artifact.inference.likelihood:
            raise UsageError("the model has no likelihood, as VAEs have")
        path = artifact.path.with_suffix(ENCODER)
        if not path.exists():
            raise UsageError(f"there is no encoder {path}, which 'jaxgen export' writes beside a VAE")
        encoder, spec = Predictor.open(path, **self.how), artifact.inference.likelihood
        of_model, of_encoder = (each.value("weights.sha256", str) for each in (artifact, encoder.artifact))
        if encoder.kind != "encoder" or of_model != of_encoder:
            raise JaxgenError(f"{path} is not the encoder of {self.name}: their weights differ")
        if spec.kind not in LIKELIHOODS:
            raise JaxgenError(f"the likelihood {spec.kind[:60]!a} is none of {', '.join(LIKELIHOODS)}")
        takes_label = "label" in encoder.session.inputs

        def encode(images: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
            given: tuple[Any, ...] = (images, label) if takes_label else (images,)
            outputs = encoder.read(*given)
            return outputs["mean"], outputs["log_variance"]

        return Autoencoder(
            encode=encode, decode=Decoder(self.model, **self.how), likelihood=spec.kind, sigma=spec.sigma,
            binarized=artifact.fact("vae.binarization", str) == "dynamic",
        )  # fmt: skip
