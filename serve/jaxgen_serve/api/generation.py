"""From a request's body to images that know how they were drawn: what /generate, /stream and the gallery share."""

from __future__ import annotations

import base64
import io
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import Request as HTTPRequest

from jaxgen.errors import UsageError
from jaxgen.images import MAX_PIXELS, captioned, grid, png_bytes, save_gif
from jaxgen.inference.provenance import provenance_text
from jaxgen.inference.request import Request
from jaxgen.inference.writers import FRAMES, MAX_SHEET
from jaxgen_serve.api.dependencies import Service, answered, service_of
from jaxgen_serve.api.schemas import Draw, Several
from jaxgen_serve.batching.engine import Ticket
from jaxgen_serve.errors import Changed
from jaxgen_serve.models.registry import ServedModel

OnFrame = Callable[[int, int, np.ndarray], None]


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """A body, checked against its model: `count` images from `request.first`, or those of `indices`."""

    model: ServedModel
    request: Request
    latent: list[float] | None = None
    indices: list[int] | None = None

    @property
    def index(self) -> np.ndarray:
        """[count] int64"""
        return np.array([self.number(i) for i in range(self.request.count)])

    def number(self, i: int) -> int:
        """Which image of the seed the i-th of these is."""
        return self.request.first + i if self.indices is None else self.indices[i]

    def submit(self, service: Service, on_frame: OnFrame | None = None) -> Ticket[tuple[np.ndarray, Any]]:
        """Queue it. Raises Busy if the queue is full."""
        sampler, count = self.model.sampler, self.request.count
        return service.engine.sample(
            self.model,
            np.full(count, self.request.seed),
            self.index,
            label=sampler.labels(self.request.label, self.index),
            guidance=self.request.guidance,
            plan=self.request.plan(sampler),
            latent=None if self.latent is None else np.tile(np.asarray(self.latent, np.float32), (count, 1)),
            deadline=service.settings.deadline,
            on_frame=on_frame,
        )

    def label(self, index: int) -> int | None:
        """Of one image; None: it was drawn without a class."""
        label = self.request.label
        number = index % len(self.model.sampler.classes) if label == "all" else label
        return None if number == -1 else int(number)

    def class_name(self, index: int) -> str | None:
        label = self.label(index)
        return None if label is None else self.model.sampler.classes[label]

    def used(self, count: int = 1) -> dict[str, Any]:
        """What the API says of images: `schemas.Used`."""
        request, recipe, sampler = self.request, self.request.recipe, self.model.sampler
        several = count > 1 and request.label == "all"
        return {
            "model": self.model.name,
            "sha256": sampler.artifact.sha256,
            "seed": request.seed if self.latent is None else None,
            "index": request.first,
            "label": "all" if several else self.label(request.first),
            "class_name": None if several else self.class_name(request.first),
            "guidance": request.guidance,
            "sampler": recipe.sampler if recipe else None,
            "steps": recipe.steps if recipe else None,
            "eta": recipe.eta if recipe else None,
            "untrained": sampler.untrained,
            "latent": self.latent,
        }

    def provenance(self, index: int, count: int = 1) -> dict[str, str]:
        """The text chunk of a PNG of images `index` ...: what `jaxgen replay` reads, unless a code was drawn."""
        made = self.request.provenance(self.model.sampler, index, count)
        if self.latent is not None:
            made = {key: made[key] for key in ("model", "label")} | {"latent": self.latent}
        return provenance_text(made)


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """What was asked for, and uint8 [N, H, W, C] that came of it."""

    asked: GenerationRequest
    images: np.ndarray
    milliseconds: float

    def used(self, i: int) -> dict[str, Any]:
        """Of image i alone: sent back, it draws this one."""
        index = self.asked.number(i)
        label, name = self.asked.label(index), self.asked.class_name(index)
        return {**self.asked.used(), "index": index, "label": label, "class_name": name}

    def png(self, i: int) -> bytes:
        return png_bytes(self.images[i], self.asked.provenance(self.asked.number(i)))

    def file_name(self, i: int) -> str:
        """As `jaxgen sample -o FOLDER/` names it."""
        index = self.asked.number(i)
        label = self.asked.label(index)
        mark = "untrained-" if self.asked.model.sampler.untrained else ""
        ending = "" if label is None else f"-class{label}"
        return f"{mark}seed{self.asked.request.seed}-{index:06d}{ending}.png"

    def sheet(self) -> bytes:
        """All of them on one PNG, as `jaxgen sample` writes it; a single one is itself. See `require_sheet`.

        It says how it was drawn if they follow one another: so `jaxgen replay` understands it.
        """
        count = len(self.images)
        image = self.images[0] if count == 1 else grid(self.images)
        text = self.asked.provenance(self.asked.request.first, count) if self.asked.indices is None else None
        return png_bytes(self._marked(image), text)

    def gif(self, frames: Sequence[np.ndarray]) -> bytes:
        """The way to them, each frame [N, H, W, C], as `jaxgen sample` writes it."""
        buffer = io.BytesIO()
        save_gif(buffer, np.stack([self._marked(grid(images)) for images in frames]))
        return buffer.getvalue()

    def _marked(self, image: np.ndarray) -> np.ndarray:
        return captioned(image, "untrained weights") if self.asked.model.sampler.untrained else image

    def one(self, i: int) -> dict[str, Any]:
        """`schemas.OneOf`."""
        used = self.used(i)
        return {"image": base64_png(self.png(i)), **{key: used[key] for key in ("index", "label", "class_name")}}

    def all(self) -> list[dict[str, Any]]:
        return [self.one(i) for i in range(len(self.images))]


def ask(service: Service, body: Draw, count: int) -> GenerationRequest:
    """Check a body against the model it names.

    Raises NotServed, Changed if the body means an earlier file, or UsageError for what the model cannot do.
    """
    model = service.library.get(body.model)
    require_same(model, body.sha256)
    first, indices = body.index, body.indices if isinstance(body, Several) else None
    if indices is not None:
        first, count = indices[0], len(indices)
        indices = None if indices == list(range(first, first + count)) else indices
    service.require_few(count, model.sampler.shape)
    request = Request.checked(
        model.sampler,
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
    return GenerationRequest(model=model, request=request, latent=body.latent, indices=indices)


def require_same(model: ServedModel, sha256: str | None) -> None:
    """Raise Changed unless `sha256` is None or that of the model's file."""
    now = model.sampler.artifact.sha256
    if sha256 is not None and sha256 != now:
        raise Changed(f"the model {model.name} has changed since: it was {sha256[:8]}..., it is {now[:8]}...")


def require_steps(service: Service, steps: int | None) -> int | None:
    """`steps`, or UsageError for more than this server runs."""
    if steps is not None and steps > service.settings.max_steps:
        raise UsageError(f"at most {service.settings.max_steps} steps on this server, got {steps}")
    return steps


def require_sheet(model: ServedModel, count: int) -> None:
    """Raise UsageError, before anything is drawn, for a sheet that nobody could read back."""
    height, width, _ = grid(np.zeros((1, *model.sampler.shape), np.uint8)).shape  # magnified, with its frame
    most = min(MAX_SHEET, math.isqrt(MAX_PIXELS // (height * width)) ** 2)
    if count > most:
        raise UsageError(f"a sheet of this model holds at most {most} images, got {count}; ask for list or zip")


def require_moving(service: Service, model: ServedModel, count: int) -> None:
    """Raise UsageError, before anything is drawn, for a GIF of a model without a plan, or one too large to be made."""
    model.sampler.process()
    frame = grid(np.zeros((1, *model.sampler.shape), np.uint8))
    most = service.settings.max_bytes // (FRAMES * frame.size)
    if count > most:
        raise UsageError(f"a GIF of this model holds at most {most} images here, got {count}")


async def sample(http: HTTPRequest, body: Draw, count: int = 1) -> GenerationResult:
    """Draw them, merged with whatever else is asked for. Raises as `ask`, Busy, and Gone if the client leaves."""
    return await drawn(http, ask(service_of(http), body, count))


async def drawn(http: HTTPRequest, asked: GenerationRequest, on_frame: OnFrame | None = None) -> GenerationResult:
    """As `draw`, of what was checked already."""
    start = time.perf_counter()
    images, _ = await answered(http, asked.submit(service_of(http), on_frame))
    return GenerationResult(asked=asked, images=images, milliseconds=round((time.perf_counter() - start) * 1000, 2))


def base64_png(png: bytes) -> str:
    return base64.b64encode(png).decode()
