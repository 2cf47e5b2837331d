"""What a loaded model file is to those who run it; runs in a thread of their own, that deadlines and Ctrl-C can end."""

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
    """Ends the run that it is given to, from any thread; a run that is given it afterwards ends at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: Callable[[], object] | None = None
        self.asked = False

    def __call__(self) -> None:
        with self._lock:
            self.asked, end = True, self._end
        if end:
            end()

    def ends(self, end: Callable[[], object]) -> None:
        """For whoever runs: call `end` when the run is to end, which may be at once."""
        with self._lock:
            self._end, asked = end, self.asked
        if asked:
            end()


class Session(Protocol):
    """A model file that some runtime has loaded, or whatever stands before one."""

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """All that it can be fed, inputs with a default included, and the shape that the graph declares for each."""
        ...

    @property
    def outputs(self) -> Mapping[str, Shape]:
        """Its outputs in the graph's order, and the shapes likewise."""
        ...

    def run(
        self, outputs: Sequence[str], feeds: Feeds, deadline: float | None = None, stop: Stop | None = None
    ) -> list[np.ndarray]:
        """The outputs, in this order.

        deadline: in seconds, after which the run is ended with a JaxgenError; None or inf: never; stop: for another
        thread to end it by, with a JaxgenError too. Of one run alone.
        """
        ...


class Threaded:
    """A session whose runs take place in a thread of its own, so that Ctrl-C and deadlines reach a caller whose run is
    inside a library. A run that the library does not let go of goes on there, and later runs wait for it."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        runtime: str,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        work: Callable[[Sequence[str], Feeds, Stop], list[np.ndarray]],
    ) -> None:
        """path, runtime: what messages call the file and what runs it; work(outputs, feeds, stop): the run itself."""
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
            running.cancel()  # if it still waits for an earlier one
            stop()  # no effect on a run that ended


def require(
    session: Session,
    path: str | os.PathLike[str],
    inputs: Mapping[str, Sequence[int] | None],
    outputs: Mapping[str, Sequence[int] | None],
) -> None:
    """Raise JaxgenError unless the graph has just these inputs, and these outputs in this order.

    inputs, outputs: name -> the shape after the batch, None where it is not looked at.
    """
    if session.inputs.keys() != inputs.keys():
        raise JaxgenError(f"{path}: expected the inputs {sorted(inputs)}, got {sorted(session.inputs)}")
    for name, want in inputs.items():
        if want is not None and list(session.inputs[name][1:]) != list(want):
            got = list(session.inputs[name])
            raise JaxgenError(f"{path}: expected the input {name!r} with {list(want)} each, got {got}")
    given = {name: list(shape[1:]) for name, shape in session.outputs.items()}
    same = list(given) == list(outputs)
    if not same or any(want is not None and given[name] != list(want) for name, want in outputs.items()):
        wanted = {name: list(want) for name, want in outputs.items() if want is not None}
        raise JaxgenError(f"{path}: expected the outputs {list(outputs)} with {wanted}, got {given}")
