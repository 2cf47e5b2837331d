"""The service that every route uses, and helpers that wait for images while the client may leave."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from jaxgen.errors import UsageError
from jaxgen_serve.api.exceptions import Gone
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.batching.requests import Busy, Ticket
from jaxgen_serve.gallery.database import Unavailable
from jaxgen_serve.gallery.store import Gallery
from jaxgen_serve.metrics import Metrics
from jaxgen_serve.models.registry import Library
from jaxgen_serve.settings import Settings

T = TypeVar("T")

THREADS = 16  # of walks, reconstructions and the like, which call the engine several times in turn
WAITING = 2  # uploaded models that wait while another one is checked
LARGE = 2**18  # pixels: from here on, PNGs are made off the event loop


class Threads:
    """A bounded thread pool, so that work whose client has left cannot pile up."""

    def __init__(self, most: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="request")
        self._free = threading.Semaphore(most)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Raises Busy if all threads are at work."""
        if not self._free.acquire(blocking=False):
            raise Busy("busy: too many walks and readings at a time", retry_after=1.0)
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self._free.release())
        return future

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Turns:
    """Runs work one piece after another in a thread of its own; only a few may wait for their turn."""

    def __init__(self, waiting: int = WAITING) -> None:
        self._most, self._here = waiting + 1, 0
        self._turn, self._thread = asyncio.Lock(), CapacityLimiter(1)

    @asynccontextmanager
    async def turn(self, seconds: float) -> AsyncIterator[None]:
        """Wait for the turn. Raises Busy if too many wait already, or if it does not come in `seconds`."""
        busy = Busy("busy: other model files are being checked", retry_after=min(seconds, 10.0))
        if self._here >= self._most:
            raise busy
        self._here += 1
        try:
            try:
                await asyncio.wait_for(self._turn.acquire(), seconds)
            except TimeoutError as err:
                raise busy from err
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._here -= 1

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work()`, for whoever has the turn."""
        return await to_thread.run_sync(work, limiter=self._thread)


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """What the routes share, as `app.state.jaxgen`."""

    settings: Settings
    library: Library
    engine: Engine
    metrics: Metrics
    gallery: Gallery | Unavailable  # Unavailable: why there is none
    threads: Threads = field(default_factory=Threads)
    trials: Turns = field(default_factory=Turns)  # of uploaded models: each takes a core

    def require_few(self, count: int, shape: tuple[int, int, int]) -> None:
        """Raise UsageError for more images than one request may ask for, or more than fit into memory."""
        if count > self.settings.most_images:
            raise UsageError(f"at most {self.settings.most_images} images a request, got {count}")
        self.require_room(count, shape)

    def require_room(self, count: int, shape: tuple[int, int, int]) -> None:
        """Raise UsageError for images [count, *shape] that take more bytes than one request may."""
        most = self.settings.max_bytes // math.prod(shape)
        if count > most:
            raise UsageError(f"at most {most} images of this size a request, got {count}")


def service_of(request: Request) -> Service:
    return request.app.state.jaxgen


async def answered(request: Request, ticket: Ticket[T]) -> T:
    """The result of a ticket, or its error. Raises Gone, and cancels the ticket, if the client leaves before."""
    return await _unless_gone(request, asyncio.wrap_future(ticket.future), ticket.cancel)


async def in_thread(request: Request, work: Callable[[], T], cancel: Callable[[], object]) -> T:
    """Run `work()` in a thread, for work that waits for several tickets in turn; `cancel` makes it end soon.

    Raises Busy if too many are at work already, Gone if the client leaves.
    """
    future = service_of(request).threads.submit(work)
    return await _unless_gone(request, asyncio.wrap_future(future), cancel)


async def _unless_gone(request: Request, answer: asyncio.Future[T], cancel: Callable[[], object]) -> T:
    watch = asyncio.ensure_future(_left(request))
    try:
        either: set[asyncio.Future[Any]] = {answer, watch}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise Gone
    finally:
        watch.cancel()
        if not answer.done():  # the client left, or the server is closing
            cancel()
            answer.cancel()


async def _left(request: Request) -> None:
    """Wait until the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def off_loop(pixels: int, work: Callable[[], T]) -> T:
    """Run `work()`, in a thread if so many pixels would hold up other requests."""
    return work() if pixels < LARGE else await to_thread.run_sync(work)
