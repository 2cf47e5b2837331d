"""The provenance of an image: how it was made, in the terms of the API and as the text that a PNG carries."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxgen.errors import JaxgenError
from jaxgen.images import png_text
from jaxgen.inference.sheets import AS_IT_IS, Layout
from jaxgen.sampling.sampler_spec import SamplerSpec

PROVENANCE_KEY = "jaxgen"  # of the PNG text chunk
MAX_PROVENANCE_CHARS = 2**16


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What sampled images depend on; an image that is sampled from it again is the same."""

    model: str  # SHA-256 of its file
    seed: int | None  # None: a latent was given, and no noise was needed
    index: int = 0  # of the first image
    count: int = 1
    label: int | Literal["all"] | tuple[int, ...] = -1  # -1: no class; several: in turn
    guidance: float | None = None
    plan: SamplerSpec | None = None  # None: the model samples in one evaluation
    latent: tuple[float, ...] | None = None
    untrained: bool = False
    palette: tuple[str, ...] = ()  # the colours that its pixels were snapped to; (): they were not
    layout: Layout = AS_IT_IS  # of the images on it

    def record(self) -> dict[str, Any]:
        """The record that a PNG carries, and that `jaxgen replay` reads."""
        if self.latent is not None:
            return {"model": self.model, "label": self.label, "latent": list(self.latent)}
        return {
            "model": self.model,
            "seed": self.seed,
            "index": self.index,
            "count": self.count,
            "label": list(self.label) if isinstance(self.label, tuple) else self.label,
            "guidance": self.guidance,
            "plan": self.plan._asdict() if self.plan else None,
            **({"untrained": True} if self.untrained else {}),
            **({"palette": list(self.palette)} if self.palette else {}),
            **self.layout.record(),
        }

    def fields(self) -> dict[str, Any]:
        """The fields by which the API and the gallery show it."""
        return {
            "sha256": self.model,
            "seed": self.seed,
            "index": self.index,
            "label": None if self.label == -1 else self.label,
            "guidance": self.guidance,
            "sampler": self.plan.sampler if self.plan else None,
            "steps": self.plan.steps if self.plan else None,
            "eta": self.plan.eta if self.plan else None,
            "untrained": self.untrained,
            "latent": None if self.latent is None else list(self.latent),
        }

    @property
    def file_name(self) -> str:
        """The name of a PNG of this one image."""
        label = "" if self.label == -1 else f"-class{self.label}"
        return f"{self._mark}{self._source}-{self.index:06d}{label}.png"

    def batch_name(self, model: str, ending: str) -> str:
        """The name of one file of all these images, such as a ZIP; model: its name, which may hold a folder's."""
        return f"{self._mark}{model.replace('/', '-')}-{self._source}{ending}"

    @property
    def _mark(self) -> str:
        return "untrained-" if self.untrained else ""

    @property
    def _source(self) -> str:
        return "latent" if self.seed is None else f"seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class LatentProvenance:
    """How a latent tool made an image; `jaxgen replay` does not repeat it."""

    model: str  # SHA-256 of its file
    command: str  # of `jaxgen latent`
    settings: Mapping[str, Any] = field(default_factory=dict)  # None: left out

    def record(self) -> dict[str, Any]:
        """The record that a PNG carries."""
        made = {"model": self.model, "command": self.command, **self.settings}
        return {name: value for name, value in made.items() if value is not None}


def provenance_text(provenance: Mapping[str, Any]) -> dict[str, str]:
    """How an image was made (model, seed, index, label, plan ...) as the text chunk for `save_png`.

    Raises JaxgenError on what JSON cannot write (inf and nan included) or on more than MAX_PROVENANCE_CHARS.
    """
    try:
        text = json.dumps(provenance, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as err:
        raise JaxgenError(f"this provenance cannot be written as JSON: {err}") from err
    if len(text) > MAX_PROVENANCE_CHARS:
        raise JaxgenError(f"expected a provenance of at most {MAX_PROVENANCE_CHARS} characters, got {len(text)}")
    return {PROVENANCE_KEY: text}


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `provenance_text` put into a PNG; the pixels are not decoded.

    Raises JaxgenError if it is no PNG, has no provenance of jaxgen's, or a broken or oversize one.
    """
    text = png_text(path).get(PROVENANCE_KEY)
    if not isinstance(text, str):
        raise JaxgenError(f"{path}: does not say how it was made; only PNGs that 'jaxgen sample' wrote do")
    return parse_provenance(text, str(path))


def parse_provenance(text: str, name: str) -> dict[str, Any]:
    """The record in the text of `provenance_text`: "latent", if any, is a list of numbers, and "command", if any, the
    name of the latent tool that made the image, which earlier versions wrote under "latent".

    name: of the image in messages. Raises JaxgenError on a text that is oversize or no JSON object.
    """
    if len(text) > MAX_PROVENANCE_CHARS:
        raise JaxgenError(f"{name}: its provenance has {len(text)} characters, expected at most {MAX_PROVENANCE_CHARS}")
    try:
        provenance = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise JaxgenError(f"{name}: its provenance is no JSON; the image is damaged or was rewritten") from err
    if not isinstance(provenance, dict):
        raise JaxgenError(f"{name}: its provenance is no JSON object; the image was rewritten")
    if isinstance(provenance.get("latent"), str):
        provenance = {("command" if key == "latent" else key): value for key, value in provenance.items()}
    return provenance


def require_replayable(provenance: Mapping[str, Any], name: str) -> None:
    """Raise JaxgenError for an image that a latent tool made, or that was decoded from a latent."""
    if "command" in provenance:
        made_by = ascii(f"jaxgen latent {provenance['command']}"[:60])
    elif "latent" in provenance:
        made_by = "decoding a latent"
    else:
        return
    raise JaxgenError(f"{name} was made by {made_by}, which replay does not repeat")
