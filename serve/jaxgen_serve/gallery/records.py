"""The records of the gallery: an image's row, and a page of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class GalleryImage:
    """An image that was kept, and all that it was sampled from; None where its model has no such thing."""

    id: str  # 28 hex digits, which sort by when it was kept
    model: str
    sha256: str  # of the model file
    seed: int
    index: int
    label: int | None
    class_name: str | None
    guidance: float | None
    sampler: str | None
    steps: int | None
    eta: float | None
    untrained: bool
    favourite: bool
    created: str  # ISO 8601, UTC

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> GalleryImage:
        """The image of a row of COLUMNS."""
        values = dict(zip(NAMES, row, strict=True))
        return cls(**values | {name: bool(values[name]) for name in ("untrained", "favourite")})


NAMES = tuple(GalleryImage.__dataclass_fields__)  # of the columns, too
COLUMNS = ", ".join(f'"{name}"' for name in NAMES)
USED = NAMES[1:-2]  # what an image was sampled from
SAME = ("sha256", "seed", "index", "label", "guidance", "sampler", "steps", "eta")  # which of it makes the image


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of a search's images, newest first."""

    images: list[GalleryImage]
    next: str | None  # `before` of the page after this one; None on the last
    total: int  # on all pages together
