"""Sessions: the interface of a loaded model file, and runs in a separate thread, which deadlines and Ctrl-C can end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from jaxgen.errors import JaxgenError, one_line
from jaxgen.inference.checks import seconds

Shape = Sequence[int | str | None]  # a dimension that is not fixed has a name or None
Feeds = Mapping[str, np.ndarray]


class Stop:
    """Ends a run from any thread; a run that starts after the call ends at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: Callable[[], object] | None = None
        self.requested = False

    def __call__(self) -> None:
        with self._lock:
            self.requested, end = True, self._end
        if end:
            end()

    def ends(self, end: Callable[[], object]) -> None:
        """Register `end`, to be called when the run must end, which may be at once; for runtimes."""
        with self._lock:
            self._end, requested = end, self.requested
        if requested:
            end()


class Session(Protocol):
    """A model file loaded by a runtime, or a wrapper of one."""

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """The graph's inputs, including those with a default, with their declared shapes."""
        ...

    @property
    def outputs(self) -> Mapping[str, Shape]:
        """The graph's outputs in order, with their declared shapes."""
        ...

    def run(
        self, outputs: Sequence[str], feeds: Feeds, deadline: float | None = None, stop: Stop | None = None
    ) -> list[np.ndarray]:
        """The outputs, in this order.

        deadline: seconds after which the run ends with a JaxgenError, None or inf: never; stop: ends the run from
        another thread, also with a JaxgenError; each `Stop` is for one run.
        """
        ...


class Threaded:
    """A session that runs in its own thread, so that Ctrl-C and deadlines reach a caller while a library computes. A
    run that the library cannot end continues in that thread, and later runs wait for it."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        runtime: str,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        work: Callable[[Sequence[str], Feeds, Stop], list[np.ndarray]],
    ) -> None:
        """path, runtime: their names in messages; work(outputs, feeds, stop): the run itself."""
        self.inputs, self.outputs = inputs, outputs
        self._path, self._runtime, self._work = path, runtime, work
        self._thread = ThreadPoolExecutor(1)

    def run(
        self, outputs: Sequence[str], feeds: Feeds, deadline: float | None = None, stop: Stop | None = None
    ) -> list[np.ndarray]:
        """See `Session.run`."""
        deadline, stop = seconds(deadline, "deadline"), stop or Stop()
        running = self._thread.submit(self._work, outputs, feeds, stop)
        try:
            return running.result(timeout=deadline)
        except TimeoutError as err:
            raise JaxgenError(f"{self._path}: stopped after {deadline} seconds") from err
        except Exception as err:
            raise JaxgenError(f"{self._path}: {self._runtime} failed: {one_line(err)}") from err
        finally:
            running.cancel()  # if it still waits for an earlier run
            stop()  # no effect on a run that ended


def require(
    session: Session,
    path: str | os.PathLike[str],
    inputs: Mapping[str, Sequence[int] | None],
    outputs: Mapping[str, Sequence[int] | None],
) -> None:
    """Raise JaxgenError unless the graph has exactly these inputs, and these outputs in this order.

    inputs, outputs: name -> the shape after the batch, None to skip its check.
    """
    if session.inputs.keys() != inputs.keys():
        raise JaxgenError(f"{path}: expected the inputs {sorted(inputs)}, got {sorted(session.inputs)}")
    for name, shape in inputs.items():
        if shape is not None and list(session.inputs[name][1:]) != list(shape):
            declared = list(session.inputs[name])
            raise JaxgenError(f"{path}: expected the input {name!r} with {list(shape)} each, got {declared}")
    given = {name: list(shape[1:]) for name, shape in session.outputs.items()}
    same = list(given) == list(outputs)
    if not same or any(shape is not None and given[name] != list(shape) for name, shape in outputs.items()):
        expected = {name: list(shape) for name, shape in outputs.items() if shape is not None}
        raise JaxgenError(f"{path}: expected the outputs {list(outputs)} with {expected}, got {given}")
