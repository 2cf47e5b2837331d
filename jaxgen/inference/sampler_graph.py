"""The graph of a sampler file: the arrays of one call, checked, and the call."""

from __future__ import annotations

from typing import TypedDict, Unpack

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.checks import floats, integers, require_range, require_shape, scale, words
from jaxgen.inference.defaults import without_default
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.onnx_model import OnnxModel
from jaxgen.inference.protobuf import WireError
from jaxgen.inference.required_inputs import fed_by_default
from jaxgen.inference.session import Session, Stop, require
from jaxgen.sampling import plan as plans
from jaxgen.sampling.process import MAX_GUIDANCE, Process

# Inputs with and without a plan; conditional models also have "label", and with a plan "guidance".
BY_PLAN = {"seed", "index", "plan", "state"}
AT_ONCE = {"seed", "index", "latent"}


class Inputs(TypedDict, total=False):
    """The optional inputs of a call; None: the file's default."""

    label: np.ndarray | None  # [N], -1 for none; default: -1, or the index modulo the classes if one is required
    guidance: float | None  # classifier-free
    plan: np.ndarray | None  # [S, 9]
    state: np.ndarray | None  # [2, N, H, W, C] of an earlier call; only for models with a plan
    latent: np.ndarray | None  # [N, D], decoded instead of the seed's own; only for models without a plan


class SamplerGraph(OnnxModel):
    """A loaded sampler, called with arrays.

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
                raise self.unconditional("label")
        if guidance is not None:
            self.process()
            if not self.classes:
                raise self.unconditional("guidance")
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

    def _check_contract(self) -> None:
        """Check the graph's inputs, outputs and image shape against the manifest."""
        by_plan = self.inference.process is not None
        names = set(BY_PLAN if by_plan else AT_ONCE)
        if self.classes:
            names |= {"label", "guidance"} if by_plan else {"label"}
        inputs = {name: self.noise_shape if name == "latent" else None for name in names}
        outputs = {"images": self.shape} | ({"state_out": None} if by_plan else {})
        require(self.session, self.artifact.path, inputs, outputs)

    def unconditional(self, what: str) -> UsageError:
        """The error for an input that only conditional models have."""
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
