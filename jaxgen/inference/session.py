"""A model file loaded into onnxruntime: what it takes and gives, and runs that a deadline or Ctrl-C can stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, one_line
from jaxgen.inference.checks import seconds
from jaxgen.inference.model_file import Artifact


class Stop:
    """Ends the run that it is given to, from any thread; a run that is given it afterwards ends at once."""

    def __init__(self) -> None:
        import onnxruntime as ort

        self.options = ort.RunOptions()

    def __call__(self) -> None:
        self.options.terminate = True


class Session:
    """Raises JaxgenError if onnxruntime cannot load the file."""

    def __init__(self, artifact: Artifact, threads: int | None = None, *, spin: bool = True) -> None:
        """threads: None: as many as onnxruntime thinks right; spin: whether they wait for work with a busy core, which
        is faster where nothing else needs the cores, and slower where something does."""
        import onnxruntime as ort

        self._path = artifact.path
        options = ort.SessionOptions()
        options.log_severity_level = 4  # it warns of every input with a default, and errors are raised besides
        options.intra_op_num_threads = threads or 0
        # All of it, which is also the default: levels below LAYOUT change the last bits of what a graph gives.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.optimization: str = options.graph_optimization_level.name
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
        try:
            self._session = ort.InferenceSession(artifact.data, options, providers=["CPUExecutionProvider"])
        except Exception as err:
            raise JaxgenError(f"{artifact.path}: onnxruntime cannot load it: {one_line(err)}") from err
        # A thread of its own, so that Ctrl-C and deadlines reach a run that is inside onnxruntime.
        self._runner = ThreadPoolExecutor(1)

    def require(
        self, inputs: Mapping[str, Sequence[int] | None], outputs: Mapping[str, Sequence[int] | None]
    ) -> None:  # fmt: skip
        """Raise JaxgenError unless the graph has just these inputs, and these outputs in this order.

        inputs, outputs: name -> the shape after the batch, None where it is not looked at.
        """
        found = {one.name: one for one in self._session.get_inputs() + self._session.get_overridable_initializers()}
        if found.keys() != inputs.keys():
            raise JaxgenError(f"{self._path}: expected the inputs {sorted(inputs)}, got {sorted(found)}")
        for name, want in inputs.items():
            if want is not None and found[name].shape[1:] != list(want):
                got = found[name].shape
                raise JaxgenError(f"{self._path}: expected the input {name!r} with {list(want)} each, got {got}")
        given = {value.name: value.shape[1:] for value in self._session.get_outputs()}
        same = list(given) == list(outputs)
        if not same or any(want is not None and given[name] != list(want) for name, want in outputs.items()):
            wanted = {name: list(want) for name, want in outputs.items() if want is not None}
            raise JaxgenError(f"{self._path}: expected the outputs {list(outputs)} with {wanted}, got {given}")

    def run(
        self,
        outputs: Sequence[str],
        feeds: dict[str, np.ndarray],
        deadline: float | None = None,
        stop: Stop | None = None,
    ) -> list[Any]:
        """The outputs, in this order. deadline: in seconds, after which the run is stopped with a JaxgenError; None or
        inf: never; stop: for another thread to end it by, with a JaxgenError too. Of one run alone."""
        deadline, stop = seconds(deadline, "deadline"), stop or Stop()
        running = self._runner.submit(self._session.run, list(outputs), feeds, stop.options)
        try:
            return running.result(timeout=deadline)
        except TimeoutError as err:
            raise JaxgenError(f"{self._path}: stopped after {deadline} seconds") from err
        except Exception as err:
            raise JaxgenError(f"{self._path}: onnxruntime failed: {one_line(err)}") from err
        finally:
            stop()  # no effect on a run that ended
