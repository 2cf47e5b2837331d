"""Requests to the engine: the ticket that a caller holds, and the job and its parts inside."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen_serve.models.registry import ServedModel

T = TypeVar("T")
Array = np.ndarray
Feeds = dict[str, Array]
OnFrame = Callable[[int, int, Array], None]

SHARED = ("plan", "guidance")  # by all images of a call; the other inputs differ for each image


class Busy(JaxgenError):
    """The queue is full, or the server is stopping. retry_after: in how many seconds to ask again."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Late(Busy):
    """The deadline has passed."""


@dataclass(frozen=True)
class Ticket(Generic[T]):
    """A pending request; `asyncio.wrap_future(ticket.future)` can be awaited, and passes on a cancellation."""

    future: Future[T]

    def result(self) -> T:
        """Wait for the result. Raises the request's error, or CancelledError."""
        return self.future.result()

    def cancel(self) -> None:
        """Abandon the request: it is not started or continued, and stopped if no other shares its run."""
        self.future.cancel()


@dataclass(eq=False, kw_only=True)
class Job:
    """One caller's request, alive until its future is done: by a result, an error, the deadline or `cancel`."""

    served: ServedModel | None  # None: other work
    feeds: Feeds
    count: int  # images
    since: float  # when it was requested, by time.monotonic
    until: float  # the deadline, by time.monotonic
    work: Callable[[float], Any] | None = None
    on_frame: OnFrame | None = None
    future: Future[Any] = field(default_factory=Future)
    images: Array | None = None  # uint8 [count, H, W, C], filled part by part
    state: Array | None = None  # float32 [2, count, H, W, C], likewise; None for models without plans
    missing: int = 0  # parts

    @property
    def rows(self) -> int:
        """Rows of the plan."""
        return len(self.feeds["plan"]) if "plan" in self.feeds else 1

    @cached_property
    def group(self) -> Hashable:
        """Equal for jobs that can share a call."""
        shared = (self.feeds[name].tobytes() for name in SHARED if name in self.feeds)
        return tuple(sorted(self.feeds)), *shared

    @property
    def alive(self) -> bool:
        return not self.future.done()

    def finish(self, result: object) -> None:
        with suppress(InvalidStateError):  # the client has just gone, or the deadline has just passed
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):
            self.future.set_exception(error)

    def parts(self, size: int) -> list[Part]:
        """Split the job into parts of at most `size` images."""
        cuts = [*range(0, self.count, size), self.count]
        parts = [Part(self, start, stop) for start, stop in itertools.pairwise(cuts)]
        self.missing = len(parts)
        return parts

    def take(self, start: int, stop: int, images: Array, state: Array | None) -> None:
        """Store the images of a part; the last part finishes the job."""
        if self.count == stop - start:
            self.images, self.state = images, state
        else:
            if self.images is None:
                self.images = np.empty((self.count, *images.shape[1:]), images.dtype)
                self.state = None if state is None else np.empty((2, self.count, *state.shape[2:]), state.dtype)
            self.images[start:stop] = images
            if state is not None and self.state is not None:
                self.state[:, start:stop] = state
        self.missing -= 1
        if not self.missing:
            self.finish((self.images, self.state))


@dataclass(frozen=True, eq=False)
class Part:
    """Images `start` to `stop - 1` of a job, which are never split further."""

    job: Job
    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start

    def feeds(self) -> Feeds:
        return picked(self.job.feeds, slice(self.start, self.stop))


def picked(feeds: Feeds, which: slice | Array) -> Feeds:
    """The feeds of some images: along the second axis of a state [2, N, ...], the first axis of others."""
    return {
        name: value if name in SHARED else value[:, which] if name == "state" else value[which]
        for name, value in feeds.items()
    }
