"""Requests: which images to sample, from a person's settings or from a PNG's provenance, checked against a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from jaxgen import palettes
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.model import Label, Model
from jaxgen.inference.provenance import Provenance
from jaxgen.sampling.process import MAX_GUIDANCE
from jaxgen.sampling.sampler_spec import SamplerSpec


@dataclass
class Tally:
    """How many images were snapped to a palette, and the sum of the shares of their pixels that lay on it before."""

    images: int = 0
    shares: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """The images that are asked for: everything that they depend on besides the model."""

    seed: int = 0
    first: int = 0
    count: int = 64
    label: Label = -1
    guidance: float | None = None
    recipe: SamplerSpec | None = None  # None: the model has no plan, and samples in one evaluation
    palette: tuple[str, ...] = ()  # the colours that every pixel is snapped to; (): none is
    tally: Tally = field(default_factory=Tally, compare=False, repr=False)  # of what was snapped

    @classmethod
    def checked(
        cls,
        model: Model,
        *,
        seed: int,
        first: int,
        count: int,
        label: str | int | None,
        guidance: float | None,
        sampler: str | None,
        steps: int | None,
        eta: float | None,
        spacing: str | None = None,
        palette: Sequence[str] = (),
    ) -> Self:
        """The request of these settings, with the model's own for those that are None: its plan and guidance, and for a
        conditional model that cannot sample without a class, all of them in turn.

        Raises UsageError for what the model cannot do: labels without classes, more steps than it was trained for, a
        palette of colours for grey images; JaxgenError for a palette that is none.
        """
        if palette:
            colours = palettes.of_text(palette, "palette")
            palettes.require_usable(colours, model.shape[2])
            palette = palettes.to_text(colours)
        if not model.classes and (guidance is not None or label is not None):
            what = "label" if label is not None else "guidance"
            raise UsageError(f"{model.artifact.path} is unconditional: it takes no {what}")
        if guidance is not None and not 0 <= guidance <= MAX_GUIDANCE:
            raise UsageError(f"guidance must be from 0 to {MAX_GUIDANCE}, got {guidance}")
        if not 0 <= seed < 2**32:
            raise UsageError(f"seed must be from 0 to 2^32 - 1, got {seed}")
        if first < 0 or count < 1 or first + count > 2**32:
            raise UsageError(f"a seed has images 0 to 2^32 - 1, got --first {first} and -n {count}")
        if label is None and model.least_label == 0:
            label = "all"  # it cannot sample without a class
        number: Label = "all" if label == "all" else model.label(label)
        recipe = None
        if model.inference.process is not None:
            recipe = model.recipe(sampler=sampler, steps=steps, eta=eta, spacing=spacing)
            if guidance is None:
                guidance = model.inference.guidance
        elif any(value is not None for value in (sampler, steps, eta, spacing, guidance)):
            model.process()  # says that it has none
        return cls(
            seed=seed, first=first, count=count, label=number, guidance=guidance, recipe=recipe, palette=tuple(palette)
        )

    @classmethod
    def from_provenance(cls, model: Model, provenance: Mapping[str, Any]) -> Self:
        """The request that `provenance` describes: its inverse. Raises JaxgenError if it is not understood."""
        try:
            plan, label, scale = provenance["plan"], provenance["label"], provenance["guidance"]
            unguided = scale is None and not (model.classes and model.inference.process)
            has_plan = plan is not None or model.inference.process is not None
            return cls.checked(
                model,
                seed=_typed(provenance, "seed", int),
                first=_typed(provenance, "index", int),
                count=_typed(provenance, "count", int),
                label=None if label == -1 else _typed(provenance, "label", int, str),
                guidance=None if unguided else _typed(provenance, "guidance", float, int),
                sampler=_typed(plan, "sampler", str) if has_plan else None,
                steps=_typed(plan, "steps", int) if has_plan else None,
                eta=_typed(plan, "eta", float, int) if has_plan else None,
                palette=_typed(provenance, "palette", list) if "palette" in provenance else (),
            )
        except KeyError as err:
            raise JaxgenError(f"it has no {err}") from err
        except (TypeError, UsageError) as err:
            raise JaxgenError(str(err)) from err

    def plan(self, model: Model) -> np.ndarray | None:
        """The table of its recipe, None for a model without plans."""
        return model.table(self.recipe) if self.recipe else None

    def batches(self, model: Model, batch_size: int) -> Iterator[np.ndarray]:
        """The images, uint8 [n, H, W, C] at a time, snapped to the palette if there is one."""
        stream = model.stream(
            self.count, seed=self.seed, first=self.first, label=self.label, guidance=self.guidance,
            plan=self.plan(model), batch_size=batch_size,
        )  # fmt: skip
        return map(self.snapped, stream)

    def snapped(self, images: np.ndarray) -> np.ndarray:
        """Images uint8 [N, H, W, C] in the colours of the palette alone, counted in `tally`; unchanged without one."""
        if not self.palette:
            return images
        images, shares = palettes.snapped(images, palettes.of_text(self.palette, "palette"))
        self.tally.images += len(images)
        self.tally.shares += float(shares.sum())
        return images

    def provenance(self, model: Model, index: int, count: int = 1) -> Provenance:
        """The provenance of images `index` to `index + count - 1` of the seed."""
        label = self.label
        if label == "all" and count == 1:
            label = index % len(model.classes)
        return Provenance(
            model=model.artifact.sha256, seed=self.seed, index=index, count=count, label=label, guidance=self.guidance,
            plan=self.recipe, untrained=model.untrained, palette=self.palette,
        )  # fmt: skip


def _typed(table: Mapping[str, Any], key: str, *kinds: type) -> Any:
    """table[key] if it is of one of these types, true being no integer; else TypeError."""
    if type(table[key]) not in kinds:
        raise TypeError(f"{key!r} is no {' or '.join(kind.__name__ for kind in kinds)}")
    return table[key]
