"""Sampling images from a model file: seeds in, uint8 images out, with NumPy and a runtime."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np

from jaxgen.errors import UsageError, nearest
from jaxgen.inference.classes import class_number
from jaxgen.inference.own_plan import own_table
from jaxgen.inference.sampler_graph import Inputs as Inputs, SamplerGraph
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.sampler_spec import SamplerSpec

# A class's number, -1 for none; several, or "all": in turn, by each image's index modulo their number.
Label = int | Literal["all"] | tuple[int, ...]
NAMED = 20  # classes in a message, at most


class Model(SamplerGraph):
    """A loaded sampler. Image `index` of `seed` is the same in every batch, process and machine.

    Raises JaxgenError if the model's manifest or graph breaks the contract.
    """

    def recipe(
        self,
        *,
        sampler: str | None = None,
        steps: int | None = None,
        eta: float | None = None,
        spacing: str | None = None,
    ) -> SamplerSpec:
        """The recipe of a plan, with the file's own settings as defaults; see `sampler_spec.choose`.

        Raises UsageError if the model, or this jaxgen, does not support it.
        """
        self.process()
        recipe = sampler_spec.choose(self.inference, sampler=sampler, steps=steps, eta=eta, spacing=spacing)
        self.table(recipe)  # raises if it is not supported
        return recipe

    def plan(self, *, sampler: str | None = None, steps: int | None = None, eta: float | None = None) -> np.ndarray:
        """The table [S, 9] of a sampler for this model: `table` of the `recipe`."""
        self.process()
        return self.table(sampler_spec.choose(self.inference, sampler=sampler, steps=steps, eta=eta))

    def table(self, recipe: SamplerSpec) -> np.ndarray:
        """The table [S, 9] of a recipe; see `jaxgen.sampling.sampler_spec.table`.

        The file's own plan is available even if this jaxgen does not know its process or sampler.
        """
        try:
            return sampler_spec.table(self.process(), recipe)
        except UsageError:
            own = own_table(self.artifact) if recipe == self.inference.plan else None
            if own is None:
                raise
            return own

    def label(self, text: str | int | None) -> int:
        """A class's number from its name, or from its number as an integer or as text; None and -1 mean no class.

        '#2' is always number 2. Raises UsageError if the model has no such class, and for a text that is the name of
        one class and the number of another.
        """
        if self.least_label == -1 and (text is None or text == -1):
            return -1
        if not self.classes:
            raise self.unconditional("label")
        name = str(text)
        number = class_number(name, self.classes) if isinstance(text, str) else text
        if number is not None and 0 <= number < len(self.classes):
            return number
        more = ", ..." if len(self.classes) > NAMED else ""
        known = f"0 to {len(self.classes) - 1}: {', '.join(self.classes[:NAMED])}{more}"
        raise UsageError(f"label must be a class ({known}), got {name[:60]!r}{nearest(name[:60], self.classes)}")

    def stream(
        self,
        count: int,
        *,
        seed: int = 0,
        first: int = 0,
        label: Label | str = -1,
        guidance: float | None = None,
        plan: np.ndarray | None = None,
        batch_size: int = 64,
    ) -> Iterator[np.ndarray]:
        """Images `first` to `first + count - 1` of a seed, uint8 [at most batch_size, H, W, C] at a time."""
        if batch_size < 1:
            raise UsageError(f"batch_size must be >= 1, got {batch_size}")
        for start in range(first, first + count, batch_size):
            index = np.arange(start, min(start + batch_size, first + count))
            images, _ = self.sample(
                np.full(len(index), seed), index, label=self.labels(label, index), guidance=guidance, plan=plan
            )
            yield images

    def frames(
        self,
        count: int,
        frame_count: int,
        *,
        seed: int = 0,
        first: int = 0,
        label: Label = -1,
        guidance: float | None = None,
        plan: np.ndarray,
    ) -> Iterator[np.ndarray]:
        """The images during denoising, from noise to the end: uint8 [count, H, W, C] per frame.

        frame_count: >= 2; a plan of fewer rows gives fewer frames: the noise and one for each row.
        """
        self.process()
        index = np.arange(first, first + count)
        seeds, labels = np.full(count, seed), self.labels(label, index)
        identity = np.array([[0, 0, 0, 1, 1, 0, 0, 0, 0]], np.float32)  # a row that keeps x, which is the noise
        images, state = self.sample(seeds, index, label=labels, guidance=guidance, plan=identity)
        yield images
        cuts = np.unique(np.linspace(0, len(plan), min(frame_count, len(plan) + 1)).round().astype(int))
        for begin, end in itertools.pairwise(cuts):
            images, state = self.sample(
                seeds, index, label=labels, guidance=guidance, plan=plan[begin:end], state=state
            )
            yield images

    def labels(self, label: Label | str, index: np.ndarray) -> np.ndarray | None:
        """[N] labels of images `index`; None for an unconditional model, which accepts only the label -1.

        label: a number, a text as `self.label` takes it, or 'all'.
        """
        if isinstance(label, str) and label != "all":
            label = self.label(label)
        if not self.classes:
            if label not in (-1, None):
                raise self.unconditional("label")
            return None
        if isinstance(label, tuple):
            return np.array(label)[index % len(label)]
        return index % len(self.classes) if label == "all" else np.full(len(index), label)
