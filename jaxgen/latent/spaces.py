"""Latent spaces of models: decoding latents to images and encoding images, with one interface for all models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.model import Model
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.runtime import How
from jaxgen.latent.checks import require_finite
from jaxgen.latent.inputs import Images
from jaxgen.latent.inversion import invert, reversible
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.prng import image_noise

Array = np.ndarray
BATCH = 64  # images per call


class Space(ABC):
    """Latents [N, *shape], float32."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one latent."""
        return self.model.noise_shape

    @property
    def name(self) -> Path:
        """The path of the model file."""
        return self.model.artifact.path

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of encoding and decoding, for provenance; None: unset."""
        return {}

    def of_seed(self, seed: int, index: Array) -> Array:
        """The latents of images `index` [N] of a seed."""
        return image_noise(np.full(len(index), seed), index, 0, self.shape)

    def encode(self, images: Array, label: Array | None) -> Array:
        """uint8 [N, H, W, C] -> latents.

        Raises UsageError if images cannot be encoded, JaxgenError if the model makes latents of them that are not
        finite.
        """
        self.require_way_back()
        latents = np.concatenate([self._encode(images[part], _part(label, part)) for part in _parts(len(images))])
        require_finite(latents, f"latents of {self.name}")
        return latents

    def decode(self, latents: Array, label: Array | None) -> Array:
        """Latents -> uint8 [N, H, W, C]; label: [N], None for unconditional models."""
        return np.concatenate([self._decode(latents[part], _part(label, part)) for part in _parts(len(latents))])

    def labels(self, count: int, text: str | None, images: Images | None = None) -> Array | None:
        """[count] labels: those of `text`, else the images' own, else none; None: unconditional.

        text: one class for all, or one for each: '7,1'. Without images, a model that requires a class gets the classes
        in turn, as in sampling. Raises UsageError if images of unknown classes need them.
        """
        model = self.model
        if text is not None:
            words = [text] if text in model.classes else [word.strip() for word in text.split(",")]
            numbers = [model.label(word) for word in words]
            if len(numbers) not in (1, count):
                raise UsageError(f"expected 1 class, or {count}, one for each image; got {len(numbers)}: {text!r}")
            return np.resize(numbers, count) if model.classes else None
        if not model.classes:
            return None
        if images and list(images.classes) == list(model.classes) and (images.labels >= 0).all():
            return images.labels
        if model.least_label == -1:
            return np.full(count, -1)
        if images:
            known = f"0 to {len(model.classes) - 1}: {', '.join(model.classes)}"
            raise UsageError(f"{self.name} must be told the images' class ({known}): give --label")
        return np.arange(count) % len(model.classes)

    def labels_to_encode(self, images: Images, text: str | None) -> Array | None:
        """The labels for `encode` alone, without decoding: as in `labels`."""
        return self.labels(len(images), text, images)

    @abstractmethod
    def require_way_back(self) -> None:
        """Raise UsageError if images cannot be encoded."""

    @abstractmethod
    def codes(self) -> Codes:
        """This space if its latents are codes, else UsageError."""

    @abstractmethod
    def noises(self) -> Noises:
        """This space if its latents are the noise of a plan, else UsageError."""

    @abstractmethod
    def _encode(self, images: Array, label: Array | None) -> Array: ...

    @abstractmethod
    def _decode(self, latents: Array, label: Array | None) -> Array: ...


class Codes(Space):
    """Latents are codes [D], decoded in one evaluation; an optional encoder gives the mean code of an image."""

    def __init__(self, model: Model, reader: Predictor | None = None, expected: Path | None = None) -> None:
        """expected: the path where an encoder was looked for.

        Raises JaxgenError if the encoder is of other weights than the model.
        """
        super().__init__(model)
        self._reader, self._expected = reader, expected
        if reader is None:
            return
        if reader.kind != "encoder":
            raise JaxgenError(f"{reader.artifact.path}: expected an encoder, got a {reader.kind}")
        of_model, of_reader = (file.artifact.value("weights.sha256", str) for file in (model, reader))
        if of_model != of_reader:
            raise JaxgenError(f"{reader.artifact.path} is not the encoder of {self.name}: their weights differ")

    @property
    def reader(self) -> Predictor:
        if self._reader is None:
            raise UsageError(
                f"{self.name} has no encoder ({self._expected} does not exist), so it cannot encode images; "
                "'jaxgen export' writes a VAE's encoder beside it"
            )
        return self._reader

    @property
    def takes_label(self) -> bool:
        """Whether there is an encoder that takes the class of an image besides the image."""
        return self._reader is not None and self._reader.takes_label

    def require_way_back(self) -> None:
        _ = self.reader

    def labels_to_encode(self, images: Images, text: str | None) -> Array | None:
        """None without a text if the encoder takes no class; given classes are still checked."""
        needed = text is not None or self.takes_label
        return super().labels_to_encode(images, text) if needed else None

    def codes(self) -> Codes:
        return self

    def noises(self) -> Noises:
        raise UsageError(f"{self.name} samples in one evaluation: this needs a model that samples by a plan")

    def posterior(self, images: Array, label: Array | None) -> tuple[Array, Array]:
        """Mean and log-variance of q(z | x), [N, D] each; label: [N], read by an encoder that takes the class."""
        outputs = self.reader.read(images, label if self.takes_label else None)
        return outputs["mean"], outputs["log_variance"]

    def _encode(self, images: Array, label: Array | None) -> Array:
        return self.posterior(images, label)[0]

    def _decode(self, latents: Array, label: Array | None) -> Array:
        index = np.arange(len(latents))
        return self.model.sample(np.zeros_like(index), index, label=label, latent=latents)[0]


class Noises(Space):
    """Latents are the initial noise of a deterministic plan; the inverted plan encodes images."""

    def __init__(
        self,
        model: Model,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        refine: int = 0,
        exact: bool = False,
    ) -> None:
        """steps: of the plan, None: the model's own; guidance: None: the file's; refine: see `invert`.

        exact: do not clip x0, which is not invertible, so that encoded images decode to themselves: 16 MNIST test
        images in 50 steps within 0.2 of 255 on average, with clipping within 1.1 (ddpm-mnist-mini, refine 1).
        """
        super().__init__(model)
        sampler = _reversible_sampler(model)
        steps = model.recipe(sampler=sampler, eta=0.0).steps if steps is None else steps
        self.plan = model.plan(sampler=sampler, steps=steps, eta=0.0)
        if exact:
            self.plan[:, COLUMNS.index("clip")] = np.inf
        if exact and guidance is None and model.classes:
            guidance = 1.0  # more guidance makes the inversion less accurate
        self.guidance, self.refine = guidance, refine
        self._sampler, self._steps = sampler, steps

    @property
    def settings(self) -> dict[str, Any]:
        guidance = self.model.inference.guidance if self.guidance is None else self.guidance
        guided = {"guidance": guidance} if self.model.classes else {}
        return {"sampler": self._sampler, "steps": self._steps, "refine": self.refine or None, **guided}

    def require_way_back(self) -> None:
        """Any image can be encoded, by the inverted plan."""

    def codes(self) -> Codes:
        raise UsageError(f"{self.name} samples by a plan: its latents are noise, and this needs short codes; use a VAE")

    def noises(self) -> Noises:
        return self

    def _encode(self, images: Array, label: Array | None) -> Array:
        return invert(self.model, images, self.plan, label=label, guidance=self.guidance, refine=self.refine)

    def _decode(self, latents: Array, label: Array | None) -> Array:
        seed = np.zeros(len(latents), np.int64)
        state = np.stack([latents, np.zeros_like(latents)])
        return self.model.sample(seed, seed, label=label, guidance=self.guidance, plan=self.plan, state=state)[0]


def open_space(
    path: Path,
    *,
    encoder: Path | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    refine: int = 0,
    exact: bool = False,
    **how: Unpack[How],
) -> Space:
    """The latents of a model file; encoder: by default the file beside it; the rest: see `Noises`.

    Raises UsageError for what the model does not have, JaxgenError as `Model.open` and `Predictor.open` do.
    """
    model = Model.open(path, **how)
    if model.inference.process is not None:
        if encoder is not None:
            raise UsageError(f"{path} samples by a plan, which is inverted: it takes no --encoder")
        return Noises(model, steps=steps, guidance=guidance, refine=refine, exact=exact)
    if steps is not None or guidance is not None:
        model.process()  # raises: the model has none
    beside = path.with_suffix(".encoder.onnx")
    chosen = encoder or (beside if beside.exists() else None)
    return Codes(model, Predictor.open(chosen, **how) if chosen else None, beside)


def _reversible_sampler(model: Model) -> str:
    """The sampler of the first named plan that can be inverted. Raises UsageError if there is none."""
    process = model.process()
    named = sampler_spec.named(process).values()
    found = (recipe.sampler for recipe in named if reversible(sampler_spec.table(process, recipe)))
    sampler = next(found, None)
    if sampler is None:
        raise UsageError(f"{model.artifact.path}: none of its samplers can be run backwards: its noise is no latent")
    return sampler


def _parts(count: int) -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, count, BATCH)]


def _part(label: Array | None, part: slice) -> Array | None:
    return None if label is None else label[part]
