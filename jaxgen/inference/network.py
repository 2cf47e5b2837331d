"""The network of a model as a separate file, and sampling with any network, with the plan and the noise in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import to_uint8
from jaxgen.inference.checks import integers, require_range, require_shape, scale, words
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.onnx_model import OnnxModel
from jaxgen.inference.own_plan import own_table
from jaxgen.inference.session import Session, require
from jaxgen.sampling import plan as plans, prng, sampler_spec
from jaxgen.sampling.process import MAX_GUIDANCE

# (x, t[, label]) -> out for models with a plan, (z[, label]) -> image for others: float32 [N, ...]; int64 labels
Evaluate = Callable[..., np.ndarray]


def input_names(inference: Inference) -> tuple[str, ...]:
    """The input names of a network, in order."""
    return (
        ("z",) * (inference.process is None)
        + ("x", "t") * (inference.process is not None)
        + (("label",) if inference.classes else ())
    )


def output_name(inference: Inference) -> str:
    """The output name of a network: "out" for a plan, or "image" in [-1, 1] without a process."""
    return "image" if inference.process is None else "out"


class Network(OnnxModel):
    """A loaded network: a file of `jaxgen export --network`, run by a runtime.

    Raises JaxgenError if the file is of another kind, or its graph breaks the contract.
    """

    def __init__(self, artifact: Artifact, session: Session | None = None) -> None:
        """session: see `OnnxModel`."""
        kind = artifact.inference.kind
        if kind != "network":
            raise JaxgenError(
                f"{artifact.path}: is no network but {'an' if kind[0] in 'aeiou' else 'a'} {kind}; 'jaxgen export RUN "
                "--network net.onnx' writes one"
            )
        super().__init__(artifact, session)
        self.inputs, self.output = input_names(self.inference), output_name(self.inference)
        sizes = {"x": self.shape, "z": self.inference.noise_shape, "t": (), "label": ()}
        require(self.session, artifact.path, {name: sizes[name] for name in self.inputs}, {self.output: self.shape})

    def __call__(self, *inputs: np.ndarray, deadline: float | None = None) -> np.ndarray:
        """Evaluate the network: the inputs in order, [N, ...] each -> float32 [N, H, W, C], which may hold NaN.

        A file with a fixed batch size is run several times, the last time with padded rows.
        Raises JaxgenError if a run fails or takes longer than `deadline` seconds.
        """
        count, size = len(inputs[0]), self.inference.batch
        if size is None:
            return self._run(inputs, deadline)
        parts = []
        for start in range(0, count, size):
            rows = [np.resize(values[start : start + size], (size, *values.shape[1:])) for values in inputs]
            parts.append(self._run(rows, deadline)[: count - start])
        return np.concatenate(parts)

    def _run(self, inputs: Any, deadline: float | None) -> np.ndarray:
        (out,) = self.session.run([self.output], dict(zip(self.inputs, inputs, strict=True)), deadline)
        shape = (len(inputs[0]), *self.shape)
        if out.shape != shape or out.dtype != np.float32:
            raise JaxgenError(
                f"{self.artifact.path}: expected float32 {shape}, got {out.dtype} {out.shape} from its graph"
            )
        return out


def sample_with(
    network: Evaluate,
    inference: Inference,
    seed: np.ndarray,
    index: np.ndarray,
    *,
    label: np.ndarray | None = None,
    guidance: float | None = None,
    plan: np.ndarray | None = None,
) -> np.ndarray:
    """Images `index` of their `seed`, uint8 [N, H, W, C], as from the whole file, with a network on any runtime.

    network: an `Evaluate` function, such as a `Network`; inference: the section of the whole file or of the network's;
    seed, index: [N] integers in [0, 2^32); label: [N], -1 for none; guidance, plan: None for the model's own, which a
    `Network` holds even if this jaxgen does not know the process.
    Raises UsageError on the values that `jaxgen.inference.model.Model` refuses, JaxgenError on NaN.
    """
    seed, index = words(seed, "seed"), words(index, "index")
    require_shape(index, seed.shape, "index")
    labels = _labels(inference, label, index)
    if guidance is not None and (not labels or inference.process is None):
        raise UsageError("guidance is for conditional models with a plan")
    assert inference.noise_shape  # networks and samplers have one
    shape = inference.noise_shape
    x = prng.image_noise(seed, index, 0, shape)
    if inference.process is None:
        if plan is not None:
            raise UsageError("the model samples in one evaluation: it has no plan")
        return to_uint8(network(x, *labels))
    strength = np.float32(inference.guidance) if guidance is None else scale(guidance, "guidance", MAX_GUIDANCE)
    table = _own_plan(network, inference) if plan is None else plans.validate(plan)

    def guided(x: np.ndarray, t: float) -> np.ndarray:
        times = np.full(len(x), t, np.float32)
        out = network(x, times, *labels)
        if not labels or strength == 1:
            return out
        without = network(x, times, np.full(len(x), -1))
        return without + strength * (out - without)

    x, _ = plans.run(table, x, guided, lambda number: prng.image_noise(seed, index, number, shape))
    return to_uint8(x)


def _own_plan(network: Evaluate, inference: Inference) -> np.ndarray:
    """The table of the model's own plan, from the network's file if this jaxgen does not know how to make it."""
    try:
        return sampler_spec.from_config(inference)
    except UsageError:
        if isinstance(network, Network) and network.inference.plan == inference.plan:
            own = own_table(network.artifact)
            if own is not None:
                return own
        raise


def _labels(inference: Inference, label: np.ndarray | None, index: np.ndarray) -> tuple[np.ndarray, ...]:
    """(labels int64 [N],), or () for an unconditional model."""
    classes = len(inference.classes)
    if not classes:
        if label is not None and (integers(label, "label") != -1).any():
            raise UsageError("the model is unconditional: it takes no label")
        return ()
    if label is None:
        return (np.full(len(index), -1) if inference.null_class else index % classes,)
    labels = integers(label, "label")
    require_shape(labels, index.shape, "label")
    require_range(labels, -1 if inference.null_class else 0, classes - 1, "label")
    return (labels.astype(np.int64),)
