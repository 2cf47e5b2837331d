"""A model's latents: images from them, and them from images. What follows asks no more about what the model is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.sampler import Model
from jaxgen.latent.inputs import Images
from jaxgen.latent.inversion import invert, reversible
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.prng import image_noise

Array = np.ndarray
BATCH = 64  # images a call


class Space(ABC):
    """Latents [N, *shape], float32."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one latent."""
        return self.model.noise_shape

    @property
    def name(self) -> Path:
        """The file's."""
        return self.model.artifact.path

    @property
    def settings(self) -> dict[str, Any]:
        """What decides besides the model how latents are read and drawn; None: nothing of that name."""
        return {}

    def of_seed(self, seed: int, index: Array) -> Array:
        """What images `index` [N] of a seed are drawn from."""
        return image_noise(np.full(len(index), seed), index, 0, self.shape)

    def encode(self, images: Array, label: Array | None) -> Array:
        """uint8 [N, H, W, C] -> latents. Raises UsageError if the model has no way back."""
        self.require_way_back()
        return np.concatenate([self._encode(images[part], _part(label, part)) for part in _parts(len(images))])

    def decode(self, latents: Array, label: Array | None) -> Array:
        """Latents -> uint8 [N, H, W, C]; label: [N], None for unconditional models."""
        return np.concatenate([self._decode(latents[part], _part(label, part)) for part in _parts(len(latents))])

    def labels(self, count: int, asked: str | None, images: Images | None = None) -> Array | None:
        """[count] labels: what was asked for, else the images' own, else none; None: unconditional.

        asked: one class for all, or one for each: '7,1'. Without images a model that must be told a class gets them
        in turn, as when it samples. Raises UsageError if it must be told one and nothing tells it.
        """
        model = self.model
        if asked is not None:
            words = [asked] if asked in model.classes else [word.strip() for word in asked.split(",")]
            numbers = [model.label(word) for word in words]
            if len(numbers) not in (1, count):
                raise UsageError(f"expected 1 class, or {count}, one for each image; got {len(numbers)}: {asked!r}")
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

    def labels_to_encode(self, images: Images, asked: str | None) -> Array | None:
        """What `encode` is to be told of images that are not decoded again: `labels`."""
        return self.labels(len(images), asked, images)

    @abstractmethod
    def require_way_back(self) -> None:
        """Raise UsageError if images cannot be encoded."""

    @abstractmethod
    def codes(self) -> Codes:
        """Itself if latents are short codes; else UsageError."""

    @abstractmethod
    def noises(self) -> Noises:
        """Itself if latents are the noise of a plan; else UsageError."""

    @abstractmethod
    def _encode(self, images: Array, label: Array | None) -> Array: ...

    @abstractmethod
    def _decode(self, latents: Array, label: Array | None) -> Array: ...


class Codes(Space):
    """Latents are codes [D], drawn from in one evaluation; an encoder, if there is one, leads back to their mean."""

    def __init__(self, model: Model, reader: Predictor | None = None, expected: Path | None = None) -> None:
        """expected: where the encoder would lie.

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
                f"{self.name} has no encoder ({self._expected} is not there): it draws images and reads none; "
                "a VAE's is written beside it by 'jaxgen export'"
            )
        return self._reader

    def require_way_back(self) -> None:
        _ = self.reader

    def labels_to_encode(self, images: Images, asked: str | None) -> Array | None:
        """None: an encoder takes no class. One that was asked for is checked all the same."""
        return None if asked is None else super().labels_to_encode(images, asked)

    def codes(self) -> Codes:
        return self

    def noises(self) -> Noises:
        raise UsageError(f"{self.name} draws in one evaluation: this needs a model that draws by a plan")

    def posterior(self, images: Array) -> tuple[Array, Array]:
        """Mean and log-variance of q(z | x), [N, D] each."""
        found = self.reader.read(images)
        return found["mean"], found["log_variance"]

    def _encode(self, images: Array, label: Array | None) -> Array:
        return self.posterior(images)[0]

    def _decode(self, latents: Array, label: Array | None) -> Array:
        index = np.arange(len(latents))
        return self.model.sample(np.zeros_like(index), index, label=label, latent=latents)[0]


class Noises(Space):
    """Latents are the noise that a deterministic plan starts from; the plan, reversed, leads back."""

    def __init__(
        self,
        model: Model,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        refine: int = 0,
        exact: bool = False,
    ) -> None:
        """steps: of the plan, None: as many as the model's own; guidance: None: the file's; refine: see `invert`.

        exact: x0 is not clipped on the way, which could not be undone, so that encoded images come back: of 16 MNIST
        test images in 50 steps within 0.2 of 255 on average, and within 1.1 clipped (ddpm-mnist-mini, refine 1).
        """
        super().__init__(model)
        process = model.process()
        recipe = next(r for r in sampler_spec.named(process).values() if reversible(sampler_spec.table(process, r)))
        steps = model.recipe(sampler=recipe.sampler, eta=0.0).steps if steps is None else steps
        self.plan = model.plan(sampler=recipe.sampler, steps=steps, eta=0.0)
        if exact:
            self.plan[:, COLUMNS.index("clip")] = np.inf
        if exact and guidance is None and model.classes:
            guidance = 1.0  # with more, an image and its noise are further from each other
        self.guidance, self.refine = guidance, refine
        self._sampler, self._steps = recipe.sampler, steps

    @property
    def settings(self) -> dict[str, Any]:
        guidance = self.model.inference.guidance if self.guidance is None else self.guidance
        guided = {"guidance": guidance} if self.model.classes else {}
        return {"sampler": self._sampler, "steps": self._steps, "refine": self.refine or None, **guided}

    def require_way_back(self) -> None:
        """There is one from any image: its plan, run backwards."""

    def codes(self) -> Codes:
        raise UsageError(f"{self.name} draws by a plan: its latents are noise, and this needs short codes; use a VAE")

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
    threads: int | None = None,
) -> Space:
    """The latents of a model file; encoder: by default the file beside it; the rest: see `Noises`.

    Raises UsageError for what the model does not have, JaxgenError as `Model.open` and `Predictor.open` do.
    """
    model = Model.open(path, threads=threads)
    if model.inference.process is not None:
        if encoder is not None:
            raise UsageError(f"{path} draws by a plan, which is run backwards: it takes no --encoder")
        return Noises(model, steps=steps, guidance=guidance, refine=refine, exact=exact)
    if steps is not None or guidance is not None:
        model.process()  # says that it has none
    beside = path.with_suffix(".encoder.onnx")
    chosen = encoder or (beside if beside.exists() else None)
    return Codes(model, Predictor.open(chosen, threads=threads) if chosen else None, beside)


def _parts(count: int) -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, count, BATCH)]


def _part(label: Array | None, part: slice) -> Array | None:
    return None if label is None else label[part]
