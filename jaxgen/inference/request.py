"""Requests: which images to sample, from a person's settings or from a PNG's provenance, checked against a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from jaxgen import palettes
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import sheets
from jaxgen.inference.model import Label, Model
from jaxgen.inference.provenance import Provenance
from jaxgen.inference.sheets import AS_IT_IS, Layout
from jaxgen.sampling.process import MAX_GUIDANCE
from jaxgen.sampling.sampler_spec import SamplerSpec

NONE = type(None)


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
    layout: Layout = AS_IT_IS  # of a sheet
    tally: Tally = field(default_factory=Tally, compare=False, repr=False)  # of what was snapped
    # Receives the number of images that are done, and of all.
    progress: Callable[[int, int], None] = field(default=lambda done, total: None, compare=False, repr=False)

    @classmethod
    def checked(
        cls,
        model: Model,
        *,
        seed: int,
        first: int,
        count: int,
        label: str | int | Sequence[str | int] | None,
        guidance: float | None,
        sampler: str | None,
        steps: int | None,
        eta: float | None,
        spacing: str | None = None,
        palette: Sequence[str] = (),
        layout: Layout = AS_IT_IS,
    ) -> Self:
        """The request of these settings, with the model's own for those that are None: its plan and guidance, and for a
        conditional model that cannot sample without a class, all of them in turn.

        label: a class, 'all', or several classes, which the images have in turn.
        Raises UsageError for what the model cannot do: labels without classes, more steps than it was trained for, a
        palette of colours for grey images; JaxgenError for a palette that is none.
        """
        sheets.require_layout(layout)
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
        number: Label = "all" if label == "all" else _numbers(model, label)
        recipe = None
        if model.inference.process is not None:
            recipe = model.recipe(sampler=sampler, steps=steps, eta=eta, spacing=spacing)
            if guidance is None:
                guidance = model.inference.guidance
        elif any(value is not None for value in (sampler, steps, eta, spacing, guidance)):
            model.process()  # says that it has none
        return cls(
            seed=seed, first=first, count=count, label=number, guidance=guidance, recipe=recipe,
            palette=tuple(palette), layout=layout,
        )  # fmt: skip

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
                label=None if label == -1 else _typed(provenance, "label", int, str, list),
                guidance=None if unguided else _typed(provenance, "guidance", float, int),
                sampler=_typed(plan, "sampler", str) if has_plan else None,
                steps=_typed(plan, "steps", int) if has_plan else None,
                eta=_typed(plan, "eta", float, int) if has_plan else None,
                palette=_typed(provenance, "palette", list) if "palette" in provenance else (),
                layout=Layout(*(_typed({key: provenance.get(key)}, key, int, NONE) for key in ("columns", "scale"))),
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
        done = 0
        self.progress(0, self.count)
        for images in stream:
            done += len(images)
            self.progress(done, self.count)
            yield self.snapped(images)

    def on_a_sheet(self, model: Model) -> Self:
        """With its layout completed, as a PNG records it: a column for each class, where the classes take turns, and a
        single image large enough to be seen."""
        columns, scale = self.layout
        classes = len(model.classes) if self.label == "all" else len(self.label) if isinstance(self.label, tuple) else 0
        if columns is None and 1 < classes <= self.count:
            columns = classes
        if scale is None and self.count == 1:
            scale = sheets.visible(model.shape)
        return replace(self, layout=Layout(columns, scale))

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
        if count == 1 and label != -1:
            (label,) = map(int, model.labels(label, np.array([index])))  # type: ignore[arg-type]
        return Provenance(
            model=model.artifact.sha256, seed=self.seed, index=index, count=count, label=label, guidance=self.guidance,
            plan=self.recipe, untrained=model.untrained, palette=self.palette, layout=self.layout,
        )  # fmt: skip


def _numbers(model: Model, label: str | int | Sequence[str | int] | None) -> int | tuple[int, ...]:
    """The numbers of classes. Raises UsageError for one that the model does not have, or for none at all."""
    if label is None or isinstance(label, str | int):
        return model.label(label)
    if not label or not all(type(each) in (str, int) for each in label):
        raise UsageError(f"labels must be one class or more, got {str(label)[:60]}")
    return tuple(model.label(each) for each in label)


def _typed(table: Mapping[str, Any], key: str, *kinds: type) -> Any:
    """table[key] if it is of one of these types, true being no integer; else TypeError."""
    if type(table[key]) not in kinds:
        raise TypeError(f"{key!r} is no {' or '.join(kind.__name__ for kind in kinds)}")
    return table[key]
