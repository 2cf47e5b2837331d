"""Sampling images from a model file: seeds in, uint8 images out, with NumPy and a runtime."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal, TypedDict, Unpack

import numpy as np

from jaxgen.errors import JaxgenError, UsageError, nearest
from jaxgen.inference.checks import floats, integers, require_range, require_shape, scale, words
from jaxgen.inference.defaults import without_default
from jaxgen.inference.model import OnnxModel
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.own_plan import own_table
from jaxgen.inference.protobuf import WireError
from jaxgen.inference.required_inputs import fed_by_default
from jaxgen.inference.session import Session, Stop, require
from jaxgen.sampling import plan as plans, sampler_spec
from jaxgen.sampling.process import MAX_GUIDANCE, Process, SamplerSpec

# Inputs with and without a plan; conditional models also have "label", and with a plan "guidance".
BY_PLAN = {"seed", "index", "plan", "state"}
AT_ONCE = {"seed", "index", "latent"}

Label = int | Literal["all"]  # a class's number, -1 for none; "all": each image's index modulo the classes


class Inputs(TypedDict, total=False):
    """The optional inputs of a call; None: the file's default."""

    label: np.ndarray | None  # [N], -1 for none; default: -1, or the index modulo the classes if one is required
    guidance: float | None  # classifier-free
    plan: np.ndarray | None  # [S, 9]
    state: np.ndarray | None  # [2, N, H, W, C] of an earlier call; only for models with a plan
    latent: np.ndarray | None  # [N, D], decoded instead of the seed's own; only for models without a plan


class Model(OnnxModel):
    """A loaded sampler. Image `index` of `seed` is the same in every batch, process and machine.

    Raises JaxgenError if the model's manifest or graph breaks the contract.
    """

    def __init__(self, artifact: Artifact, session: Session | None = None) -> None:
        """session: see `OnnxModel`."""
        kind = artifact.inference.kind
        if kind == "network":
            raise JaxgenError(
                f"{artifact.path}: cannot sample by itself: it is only the network of a model; 'jaxgen compose' makes "
                "the whole file"
            )
        if kind != "sampler":
            raise JaxgenError(f"{artifact.path}: generates no images: it is {_article(kind)}, which reads images")
        super().__init__(artifact, session)
        self._check_contract()
        try:
            self._must_feed = without_default(artifact.data)
        except WireError as err:
            raise JaxgenError(f"{artifact.path}: its graph's inputs cannot be read ({err}); export it again") from err

    @property
    def untrained(self) -> bool:
        """Whether its weights are untrained, so that its images are meaningless."""
        training = self.artifact.manifest.get("training")
        return isinstance(training, dict) and training.get("untrained") is True

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The shape of one image's noise: [H, W, C], or [D] for a code."""
        assert self.inference.noise_shape  # every sampler has one
        return self.inference.noise_shape

    @property
    def least_label(self) -> int:
        """-1 for models that can sample without a class, 0 for conditional models that cannot."""
        return 0 if self.classes and not self.inference.null_class else -1

    def process(self) -> Process:
        """The process of this model's plans. Raises UsageError if it has none and samples in one evaluation."""
        if self.inference.process is None:
            raise UsageError(f"{self.artifact.path} samples in one evaluation: it has no plan, steps or guidance")
        return self.inference.process

    def recipe(self, *, sampler: str | None = None, steps: int | None = None, eta: float | None = None) -> SamplerSpec:
        """The recipe of a plan, with the file's own settings as defaults; see `sampler_spec.choose`.

        Raises UsageError if the model, or this jaxgen, does not support it.
        """
        self.process()
        recipe = sampler_spec.choose(self.inference, sampler=sampler, steps=steps, eta=eta)
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
        """A class's number from its name or its number; None and the number -1 mean no class.

        A text that is a name of one class and the number of another is read as the name.

        Raises UsageError if the model has no such class.
        """
        if self.least_label == -1 and (text is None or text == -1):
            return -1
        if not self.classes:
            raise self._unconditional("label")
        if isinstance(text, str) and text in self.classes:
            return self.classes.index(text)
        name = str(text)
        if name.isdecimal() and len(name) <= 9 and int(name) < len(self.classes):
            return int(name)
        known = f"0 to {len(self.classes) - 1}: {', '.join(self.classes)}"
        raise UsageError(f"label must be a class ({known}), got {name[:60]!r}{nearest(name[:60], self.classes)}")

    def sample(
        self, seed: np.ndarray, index: np.ndarray, *, deadline: float | None = None, **inputs: Unpack[Inputs]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Run the graph once: images uint8 [N, H, W, C], and the state float32 [2, N, H, W, C] to continue from.

        seed, index: [N] integers in [0, 2^32); deadline: seconds after which the run is stopped with a JaxgenError;
        inputs: see `Inputs`. Models without a plan return no state.
        Raises UsageError on invalid inputs, JaxgenError if the run fails or gives NaN.
        """
        feeds = self.feeds(seed, index, **inputs)
        images, after = self.run(feeds, deadline)
        if after is not None and np.isnan(after).any():
            raise self.diverged()
        return images, after

    def feeds(
        self,
        seed: np.ndarray,
        index: np.ndarray,
        *,
        label: np.ndarray | None = None,
        guidance: float | None = None,
        plan: np.ndarray | None = None,
        state: np.ndarray | None = None,
        latent: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """The graph's inputs for `sample`, by name, checked and converted.

        The feeds of several calls with the same plan and guidance can be concatenated into one call.
        """
        feeds = {"seed": words(seed, "seed"), "index": words(index, "index")}
        count = len(feeds["seed"])
        require_shape(feeds["index"], (count,), "index")
        if self.classes:
            feeds["label"] = self._labels(label, feeds["index"])
        elif label is not None:
            labels = integers(label, "label")
            if labels.ndim:  # one number stands for all images
                require_shape(labels, (count,), "label")
            if (labels != -1).any():
                raise self._unconditional("label")
        if guidance is not None:
            self.process()
            if not self.classes:
                raise self._unconditional("guidance")
            feeds["guidance"] = scale(guidance, "guidance", MAX_GUIDANCE)
        if plan is not None:
            self.process()
            feeds["plan"] = plans.validate(plan)
        if state is not None:
            self.process()
            feeds["state"] = floats(state, "state", (2, count, *self.shape))
        if latent is not None:
            if self.inference.process is not None:
                raise UsageError(f"{self.artifact.path} samples by a plan: it takes a state, and no latent")
            feeds["latent"] = floats(latent, "latent", (count, *self.noise_shape))
        return feeds

    def run(
        self, feeds: dict[str, np.ndarray], deadline: float | None = None, stop: Stop | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """`sample` with the result of `feeds`, without a check for NaN; stop: see `Session.run`."""
        names = ["images"] if self.inference.process is None else ["images", "state_out"]
        values = fed_by_default(self._must_feed - feeds.keys(), self.artifact)
        images, *after = self.session.run(names, feeds | values, deadline, stop)
        shape = (len(feeds["seed"]), *self.shape)
        # A forged graph can return shapes that it did not declare.
        if images.shape != shape or images.dtype != np.uint8 or any(state.shape != (2, *shape) for state in after):
            raise JaxgenError(f"{self.artifact.path}: expected images {shape}, got {images.shape} from its graph")
        return images, after[0] if after else None

    def diverged(self) -> JaxgenError:
        """The error for NaN in a state."""
        return JaxgenError(f"{self.artifact.path}: sampled NaN; its weights, or the given plan or state, have diverged")

    def stream(
        self,
        count: int,
        *,
        seed: int = 0,
        first: int = 0,
        label: Label = -1,
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

    def labels(self, label: Label, index: np.ndarray) -> np.ndarray | None:
        """[N] labels of images `index`; None for an unconditional model, which accepts only the label -1."""
        if not self.classes:
            if label not in (-1, None):
                raise self._unconditional("label")
            return None
        return index % len(self.classes) if label == "all" else np.full(len(index), label)

    def _check_contract(self) -> None:
        """Check the graph's inputs, outputs and image shape against the manifest."""
        by_plan = self.inference.process is not None
        names = set(BY_PLAN if by_plan else AT_ONCE)
        if self.classes:
            names |= {"label", "guidance"} if by_plan else {"label"}
        inputs = {name: self.noise_shape if name == "latent" else None for name in names}
        outputs = {"images": self.shape} | ({"state_out": None} if by_plan else {})
        require(self.session, self.artifact.path, inputs, outputs)

    def _unconditional(self, what: str) -> UsageError:
        return UsageError(f"{self.artifact.path} is unconditional: it takes no {what}")

    def _labels(self, label: np.ndarray | None, index: np.ndarray) -> np.ndarray:
        if label is None:
            return index % len(self.classes) if self.least_label == 0 else np.full(len(index), -1)
        labels = integers(label, "label")
        require_shape(labels, (len(index),), "label")
        require_range(labels, self.least_label, len(self.classes) - 1, "label")
        return labels.astype(np.int64)


def _article(kind: str) -> str:
    return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"
