"""Check a body of /interpolate, and sample or decode the images between its ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.inference.model import Model
from jaxgen.inference.provenance import LatentProvenance, provenance_text
from jaxgen.inference.request import Request
from jaxgen.latent.interpolation import PATHS, decode_walk, walk
from jaxgen.latent.spaces import Noises, Space
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.sampler_spec import SamplerSpec
from jaxgen_serve.api.dependencies import Service
from jaxgen_serve.api.generation import require_steps
from jaxgen_serve.api.schemas import InterpolationRequest
from jaxgen_serve.models.registry import ServedModel


@dataclass(frozen=True, kw_only=True)
class InterpolationPath:
    """A walk through latent space, from each end to the next."""

    served: ServedModel
    body: InterpolationRequest
    indices: list[int]
    labels: list[int] | None  # of each end; None: the model has no classes
    recipe: SamplerSpec | None  # None: the model has no plan
    guidance: float | None

    def options(self) -> dict[str, Any]:
        """The options of `jaxgen_serve.batching.client.space`."""
        return {"steps": self.recipe.steps, "guidance": self.guidance} if self.recipe else {}

    @property
    def frame_count(self) -> int:
        """The frames of all segments together."""
        return (len(self.indices) - 1) * self.body.frames

    def images(self, space: Space) -> np.ndarray:
        """The frames, uint8 [segments, frames, H, W, C]."""
        if isinstance(space, Noises) and self.recipe:
            space.plan = self.served.model.plan(**self.recipe._asdict())
        body = self.body
        if body.latents is not None:
            points = np.asarray(body.latents, np.float32)
        else:
            ends = zip(body.seeds or [], self.indices, strict=True)
            points = np.concatenate([space.of_seed(seed, np.array([index])) for seed, index in ends])
        label = None if self.labels is None else np.array(self.labels)
        return decode_walk(space, walk(points, body.frames, PATHS[body.path]), label)

    def provenance(self) -> dict[str, str]:
        """The text chunk of the frames' PNGs: less the codes, which would be longer than the images."""
        settings = {key: value for key, value in self.used().items() if key not in ("model", "sha256", "latents")}
        sha256 = self.served.model.artifact.sha256
        return provenance_text(LatentProvenance(model=sha256, command="interpolate", settings=settings).record())

    def used(self) -> dict[str, Any]:
        """`schemas.Interpolation` without the images."""
        model, recipe = self.served.model, self.recipe
        return {
            "model": self.served.name,
            "sha256": model.artifact.sha256,
            "seeds": self.body.seeds,
            "indices": None if self.body.seeds is None else self.indices,
            "latents": self.body.latents,
            "labels": None if self.labels is None else [None if label == -1 else label for label in self.labels],
            "frames": self.body.frames,
            "path": self.body.path,
            "guidance": self.guidance,
            "sampler": recipe.sampler if recipe else None,
            "steps": recipe.steps if recipe else None,
            "untrained": model.untrained,
        }


def checked_interpolation(service: Service, body: InterpolationRequest) -> InterpolationPath:
    """Check a body against its model and the server's limits. Raises NotServed, or UsageError."""
    served = service.library.get(body.model)
    if (body.seeds is None) == (body.latents is None):
        raise UsageError("give either seeds or latents, two or more of them")
    count = len(body.seeds or body.latents or [])
    indices = [0] * count if body.indices is None else body.indices
    if len(indices) != count or (body.labels is not None and len(body.labels) != count):
        raise UsageError(f"indices and labels must be as many as the ends of the walk: {count}")
    frames = (count - 1) * body.frames
    if frames > service.settings.max_frames:
        raise UsageError(f"at most {service.settings.max_frames} frames on this server, this would be {frames}")
    service.require_room(frames, served.model.shape)
    _check_latents(served, body)
    labels = [body.label] * count if body.labels is None else body.labels
    request = Request.checked(
        served.model, seed=0, first=0, count=1, label=next((label for label in labels if label is not None), None),
        guidance=body.guidance, sampler=body.sampler, steps=require_steps(service, body.steps), eta=None,
    )  # fmt: skip
    return InterpolationPath(
        served=served, body=body, indices=indices, labels=_labels(served.model, labels, indices),
        recipe=_without_noise(service, served.model, request.recipe), guidance=request.guidance,
    )  # fmt: skip


def _check_latents(served: ServedModel, body: InterpolationRequest) -> None:
    if body.latents is None:
        return
    if served.model.inference.process is not None:
        raise UsageError(f"{served.name} samples by a plan, from noise and not from a short code: give seeds")
    shape = served.model.noise_shape
    wrong = [len(code) for code in body.latents if (len(code),) != shape]
    if wrong:
        raise UsageError(f"{served.name} has latents of {shape[0]} numbers, got one of {wrong[0]}")


def _without_noise(service: Service, model: Model, recipe: SamplerSpec | None) -> SamplerSpec | None:
    """A plan that adds none of its own: frames would not follow from each other."""
    if recipe is None:
        return None
    require_steps(service, recipe.steps)
    recipe = recipe._replace(eta=0.0)
    if model.table(recipe)[:, COLUMNS.index("noise")].any():
        raise UsageError(f"a walk takes a sampler that adds no noise, such as ddim; got {recipe.sampler!r}")
    return recipe


def _labels(model: Model, labels: list[int | str | None], indices: list[int]) -> list[int] | None:
    """The label of each end: the one that /generate would give it."""
    if not model.classes:
        return None
    in_turn = [index % len(model.classes) for index in indices]
    return [
        turn if label == "all" or (label is None and model.least_label == 0) else model.label(label)
        for label, turn in zip(labels, in_turn, strict=True)
    ]
