"""Draw pictures from a model file: seed in, uint8 pictures out. NumPy and onnxruntime, nothing else."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Self

import numpy as np

from jaxgen import artifact as artifacts, config as configs, plan as plans
from jaxgen.arguments import finite, integers, require_range, require_shape, words
from jaxgen.artifact import Artifact
from jaxgen.errors import JaxgenError, UsageError, nearest, one_line

CONTRACT = {"seed", "index", "plan", "state"}  # inputs; conditional models have "label" and "guidance" too
OUTPUTS = ["images", "state_out"]

Label = int | Literal["all"]  # a class's number, -1 for none; "all": each picture's index modulo the classes


class Sampler:
    """A loaded model. Picture `index` of `seed` is the same in every batch, process and machine.

    Raises JaxgenError if the model's manifest or graph is not what the contract says.
    """

    def __init__(self, artifact: Artifact, *, threads: int | None = None) -> None:
        """threads: of onnxruntime; None: as many as it thinks right."""
        self.artifact = artifact
        self.config = config_of(artifact)
        self.classes = _class_names(artifact, self.config.model.classes)
        self._session = _session(artifact, threads)
        self._check_contract()
        # A thread of its own, so that Ctrl-C and deadlines reach a run that is inside onnxruntime.
        self._runner = ThreadPoolExecutor(1)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, threads: int | None = None) -> Self:
        """Read, check and load a model file; see `jaxgen.artifact.read` for what is refused."""
        return cls(artifacts.read(path), threads=threads)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a picture."""
        return self.config.data.shape

    def plan(self, *, sampler: str | None = None, steps: int | None = None, eta: float | None = None) -> np.ndarray:
        """The table [S, 9] of a sampler for this model's noise schedule; see `jaxgen.plan.from_config`."""
        return plans.from_config(self.config.diffusion, sampler=sampler, steps=steps, eta=eta)

    def label(self, text: str | int | None) -> int:
        """A class's number from its name or its number; None and the number -1 are no class.

        A text that is both one class's name and another one's number is the name.

        Raises UsageError if the model has no classes, or not this one.
        """
        if text is None or text == -1:
            return -1
        if not self.classes:
            raise UsageError(f"{self.artifact.path} is unconditional: it takes no label")
        if isinstance(text, str) and text in self.classes:
            return self.classes.index(text)
        name = str(text)
        if name.isdecimal() and len(name) <= 9 and int(name) < len(self.classes):
            return int(name)
        known = f"0 to {len(self.classes) - 1}: {', '.join(self.classes)}"
        raise UsageError(f"label must be a class ({known}), got {name[:60]!r}{nearest(name[:60], self.classes)}")

    def draw(
        self,
        seed: np.ndarray,
        index: np.ndarray,
        *,
        label: np.ndarray | None = None,
        guidance: float | None = None,
        plan: np.ndarray | None = None,
        state: np.ndarray | None = None,
        deadline: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """One call of the graph: images uint8 [N, H, W, C] and the state float32 [2, N, H, W, C] to go on from.

        seed, index: [N] integers in [0, 2^32); label: [N], -1 for none; plan: [S, 9]; state: of an earlier call;
        deadline: seconds after which the run is stopped with a JaxgenError. What is left out has the file's default.
        Raises UsageError on values outside these, JaxgenError if the run fails or gives NaN.
        """
        feeds = {"seed": words(seed, "seed"), "index": words(index, "index")}
        count = len(feeds["seed"])
        require_shape(feeds["index"], (count,), "index")
        if self.classes:
            feeds["label"] = np.full(count, -1) if label is None else self._checked_labels(label, count)
            if guidance is not None:
                feeds["guidance"] = finite(guidance, "guidance")
        elif guidance is not None or (label is not None and (np.asarray(label) != -1).any()):
            raise UsageError(f"{self.artifact.path} is unconditional: it takes no label and no guidance")
        if plan is not None:
            feeds["plan"] = plans.validate(plan)
        if state is not None:
            feeds["state"] = np.asarray(state, np.float32)
            require_shape(feeds["state"], (2, count, *self.shape), "state")
        images, after = self._run(feeds, deadline)
        if np.isnan(after).any():
            raise JaxgenError(f"{self.artifact.path}: drew NaN; its weights, or the plan or state given, have diverged")
        return images, after

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
        """Pictures `first` to `first + count - 1` of a seed, uint8 [at most batch_size, H, W, C] at a time."""
        if batch_size < 1:
            raise UsageError(f"batch_size must be >= 1, got {batch_size}")
        for start in range(first, first + count, batch_size):
            index = np.arange(start, min(start + batch_size, first + count))
            images, _ = self.draw(
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
        """The pictures while they are being denoised, from noise to the end: uint8 [count, H, W, C] a frame.

        frame_count: >= 2; a plan of fewer rows gives fewer frames, the noise and one for each row.
        """
        index = np.arange(first, first + count)
        seeds, labels = np.full(count, seed), self.labels(label, index)
        still = np.array([[0, 0, 0, 1, 1, 0, 0, 0, 0]], np.float32)  # a row that leaves x as it is: the noise itself
        images, state = self.draw(seeds, index, label=labels, guidance=guidance, plan=still)
        yield images
        cuts = np.unique(np.linspace(0, len(plan), min(frame_count, len(plan) + 1)).round().astype(int))
        for begin, end in itertools.pairwise(cuts):
            images, state = self.draw(seeds, index, label=labels, guidance=guidance, plan=plan[begin:end], state=state)
            yield images

    def labels(self, label: Label, index: np.ndarray) -> np.ndarray | None:
        """[N] labels of pictures `index`, None for an unconditional model."""
        if not self.classes:
            return None
        return index % len(self.classes) if label == "all" else np.full(len(index), label)

    def _check_contract(self) -> None:
        """The graph's names and the size of its pictures, against the manifest."""
        path, session = self.artifact.path, self._session
        want = CONTRACT | ({"label", "guidance"} if self.classes else set())
        found = {value.name for value in session.get_inputs() + session.get_overridable_initializers()}
        if found != want:
            raise JaxgenError(f"{path}: expected the inputs {sorted(want)}, got {sorted(found)}")
        outputs = {value.name: value.shape[1:] for value in session.get_outputs()}
        if list(outputs) != OUTPUTS or outputs["images"] != list(self.shape):
            raise JaxgenError(f"{path}: expected the outputs {OUTPUTS} with images {list(self.shape)}, got {outputs}")

    def _checked_labels(self, label: np.ndarray, count: int) -> np.ndarray:
        labels = integers(label, "label")
        require_shape(labels, (count,), "label")
        require_range(labels, -1, len(self.classes) - 1, "label")
        return labels.astype(np.int64)

    def _run(self, feeds: dict[str, np.ndarray], deadline: float | None) -> list[Any]:
        import onnxruntime as ort

        options = ort.RunOptions()
        running = self._runner.submit(self._session.run, OUTPUTS, feeds, options)
        try:
            return running.result(timeout=deadline)
        except TimeoutError as err:
            raise JaxgenError(f"{self.artifact.path}: stopped after {deadline} seconds") from err
        except Exception as err:
            raise JaxgenError(f"{self.artifact.path}: onnxruntime failed: {one_line(err)}") from err
        finally:
            options.terminate = True  # no effect on a run that ended


def config_of(artifact: Artifact) -> configs.Config:
    try:
        return configs.from_dict(artifact.config)
    except UsageError as err:
        raise JaxgenError(f"{artifact.path}: its config is not understood: {err}") from err


def _class_names(artifact: Artifact, count: int) -> list[str]:
    names = [str(name) for name in artifact.value("classes", list)]
    if len(names) != count:
        raise JaxgenError(f"{artifact.path}: expected the names of {count} classes in its manifest, got {len(names)}")
    return names


def _session(artifact: Artifact, threads: int | None) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4  # it warns of every input with a default, and errors are raised besides
    options.intra_op_num_threads = threads or 0
    try:
        return ort.InferenceSession(artifact.data, options, providers=["CPUExecutionProvider"])
    except Exception as err:
        raise JaxgenError(f"{artifact.path}: onnxruntime cannot load it: {one_line(err)}") from err
