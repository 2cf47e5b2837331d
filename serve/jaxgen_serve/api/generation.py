"""Sample the images that a body asks for, with their provenance: what /generate, /stream and the gallery share."""

from __future__ import annotations

import base64
import io
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from fastapi import Request as HTTPRequest

from jaxgen.errors import UsageError
from jaxgen.files import zipped
from jaxgen.images import grid, png_bytes, save_gif
from jaxgen.inference import sheets
from jaxgen.inference.provenance import Provenance, provenance_text
from jaxgen.inference.request import Request
from jaxgen.inference.writers import FRAMES
from jaxgen_serve.api.dependencies import Service, answered, service_of
from jaxgen_serve.api.exceptions import Changed
from jaxgen_serve.api.schemas import BatchRequest, SampleRequest
from jaxgen_serve.batching.requests import Ticket
from jaxgen_serve.models.registry import ServedModel

OnFrame = Callable[[int, int, np.ndarray], None]


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """A body, checked against its model: `count` images from `request.first`, or those of `indices`."""

    served: ServedModel
    request: Request
    latent: list[float] | None = None
    indices: list[int] | None = None

    @property
    def index(self) -> np.ndarray:
        """[count] int64"""
        return np.array([self.number(i) for i in range(self.request.count)])

    def number(self, i: int) -> int:
        """The index in its seed of the i-th image."""
        return self.request.first + i if self.indices is None else self.indices[i]

    def submit(self, service: Service, on_frame: OnFrame | None = None) -> Ticket[tuple[np.ndarray, Any]]:
        """Queue it. Raises Busy if the queue is full."""
        model, count = self.served.model, self.request.count
        return service.engine.sample(
            self.served,
            np.full(count, self.request.seed),
            self.index,
            label=model.labels(self.request.label, self.index),
            guidance=self.request.guidance,
            plan=self.request.plan(model),
            latent=None if self.latent is None else np.tile(np.asarray(self.latent, np.float32), (count, 1)),
            deadline=service.settings.deadline,
            on_frame=on_frame,
        )

    def provenance(self, index: int, count: int = 1) -> Provenance:
        """The provenance of images `index` to `index + count - 1` of the seed, or of the latent that was given."""
        made = self.request.provenance(self.served.model, index, count)
        return made if self.latent is None else replace(made, seed=None, latent=tuple(self.latent))

    def used(self, index: int | None = None, count: int = 1) -> dict[str, Any]:
        """What the API says of images, by default from the first one on: `schemas.UsedSettings`."""
        fields = self.provenance(self.request.first if index is None else index, count).fields()
        return {"model": self.served.name, **fields, "class_name": self.class_name(fields["label"])}

    def class_name(self, label: int | str | None) -> str | None:
        return self.served.model.classes[label] if isinstance(label, int) else None


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """A checked request and its images, uint8 [N, H, W, C]."""

    generation: GenerationRequest
    images: np.ndarray
    milliseconds: float

    def used(self, i: int) -> dict[str, Any]:
        """The settings of image i alone: sent back, they sample this one."""
        return self.generation.used(self.generation.number(i))

    def provenance(self, i: int) -> Provenance:
        return self.generation.provenance(self.generation.number(i))

    def png(self, i: int) -> bytes:
        return png_bytes(self.images[i], provenance_text(self.provenance(i).record()))

    def sheet(self) -> bytes:
        """The images on one PNG, as `jaxgen sample` writes it; see `require_sheet`.

        It carries its provenance if the images follow one another, so that `jaxgen replay` understands it.
        """
        generation, count = self.generation, len(self.images)
        in_order = generation.indices is None
        text = provenance_text(generation.provenance(generation.request.first, count).record()) if in_order else None
        return png_bytes(sheets.sheet(self.images, untrained=self.untrained), text)

    def gif(self, frames: Sequence[np.ndarray]) -> bytes:
        """A GIF of the denoising, each frame [N, H, W, C], as `jaxgen sample` writes it."""
        buffer = io.BytesIO()
        save_gif(buffer, np.stack([sheets.marked(grid(images), untrained=self.untrained) for images in frames]))
        return buffer.getvalue()

    def zip(self) -> bytes:
        """A ZIP of the images, one PNG each, as `jaxgen sample` writes a folder of them."""
        return zipped((self.provenance(i).file_name, self.png(i)) for i in range(len(self.images)))

    @property
    def untrained(self) -> bool:
        return self.generation.served.model.untrained

    def one(self, i: int) -> dict[str, Any]:
        """`schemas.BatchImage`."""
        return {"image": base64_png(self.png(i)), **one_of(self.used(i))}

    def all(self) -> list[dict[str, Any]]:
        return [self.one(i) for i in range(len(self.images))]


def checked_generation(service: Service, body: SampleRequest, count: int) -> GenerationRequest:
    """Check a body against the model it names.

    Raises NotServed, Changed if the body means an earlier file, or UsageError for what the model cannot do.
    """
    served = service.library.get(body.model)
    require_same(served, body.sha256)
    first, indices = body.index, body.indices if isinstance(body, BatchRequest) else None
    if indices is not None:
        first, count = indices[0], len(indices)
        indices = None if indices == list(range(first, first + count)) else indices
    service.require_few(count, served.model.shape)
    request = Request.checked(
        served.model,
        seed=secrets.randbelow(2**32) if body.seed is None else body.seed,
        first=first,
        count=count,
        label=body.label,
        guidance=body.guidance,
        sampler=body.sampler,
        steps=require_steps(service, body.steps),
        eta=body.eta,
    )
    if request.recipe:
        require_steps(service, request.recipe.steps)
    return GenerationRequest(served=served, request=request, latent=body.latent, indices=indices)


def require_same(served: ServedModel, sha256: str | None) -> None:
    """Raise Changed unless `sha256` is None or that of the model's file."""
    now = served.model.artifact.sha256
    if sha256 is not None and sha256 != now:
        raise Changed(f"the model {served.name} has changed since: it was {sha256[:8]}..., it is {now[:8]}...")


def require_steps(service: Service, steps: int | None) -> int | None:
    """`steps`, or UsageError for more than this server runs."""
    if steps is not None and steps > service.settings.max_steps:
        raise UsageError(f"at most {service.settings.max_steps} steps on this server, got {steps}")
    return steps


def require_sheet(served: ServedModel, count: int) -> None:
    """Raise UsageError, before anything is sampled, for a sheet that nobody could read back."""
    sheets.require_capacity(served.model.shape, count, instead="ask for list or zip")


def require_moving(service: Service, served: ServedModel, count: int) -> None:
    """Raise UsageError, before anything is sampled, for a GIF of a model without a plan, or a GIF too large to make."""
    served.model.process()
    frame = grid(np.zeros((1, *served.model.shape), np.uint8))
    most = service.settings.max_bytes // (FRAMES * frame.size)
    if count > most:
        raise UsageError(f"a GIF of this model holds at most {most} images here, got {count}")


async def sample(http: HTTPRequest, generation: GenerationRequest, on_frame: OnFrame | None = None) -> GenerationResult:
    """Sample the images, batched with other requests. Raises Busy, and Gone if the client leaves."""
    start = time.perf_counter()
    images, _ = await answered(http, generation.submit(service_of(http), on_frame))
    milliseconds = round((time.perf_counter() - start) * 1000, 2)
    return GenerationResult(generation=generation, images=images, milliseconds=milliseconds)


def one_of(used: dict[str, Any]) -> dict[str, Any]:
    """What tells an image from the others of its answer: `schemas.BatchImage` without the image."""
    return {key: used[key] for key in ("index", "label", "class_name")}


def base64_png(png: bytes) -> str:
    return base64.b64encode(png).decode()
