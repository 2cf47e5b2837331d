"""The engine: merges requests for images into few calls of onnxruntime, with a queue, one worker and deadlines.

One thread runs all graphs, so that they do not compete for the cores; a second one watches the deadlines. A plan is run
in slices of rows; between slices, abandoned requests are dropped and other models get their turn. Noise is a function
of seed and index, so the other images of a batch do not change an image.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.model import Inputs
from jaxgen.inference.session import Stop
from jaxgen_serve.batching.batch import Batch
from jaxgen_serve.batching.deadlines import Deadlines
from jaxgen_serve.batching.queue import ModelQueue
from jaxgen_serve.batching.requests import Busy, Feeds, Job, OnFrame, Ticket
from jaxgen_serve.batching.schedule import Schedule
from jaxgen_serve.batching.wait_policy import WaitPolicy
from jaxgen_serve.metrics import Metrics
from jaxgen_serve.models.registry import ServedModel

T = TypeVar("T")
Sampled = tuple[np.ndarray, np.ndarray | None]  # uint8 [N, H, W, C]; float32 [2, N, H, W, C] of models with plans

log = logging.getLogger(__name__)


class Engine:
    """Runs all graphs of a server. All methods may be called from any thread."""

    def __init__(
        self,
        *,
        max_batch: int = 64,
        max_delay: float = 0.002,
        max_queue: int = 1024,
        slice_seconds: float = 0.25,
        metrics: Metrics | None = None,
    ) -> None:
        """max_batch: images in one call; max_delay: seconds that a request waits for others to join when the
        engine is idle, see `WaitPolicy`; max_queue: images requested and not sampled yet; slice_seconds: about how long
        a call may take."""
        self._max_batch, self._policy = max_batch, WaitPolicy(max_batch, max_delay)
        self._schedule = Schedule(max_batch, self._policy)
        self._max_queue, self._slice_seconds = max_queue, slice_seconds
        self._metrics = metrics or Metrics()
        self._metrics.watch_queue(lambda: self.depth)
        self._lock = threading.Lock()
        self._work, self._gathered = (threading.Condition(self._lock) for _ in range(2))
        self._jobs: set[Job] = set()  # alive
        self._depth = 0  # their images
        self._running: tuple[Batch, Stop] | None = None
        self._closing = False
        self._deadlines = Deadlines(self._lock, self._jobs, self._policy.retry_after)
        self._worker = threading.Thread(target=self._serve, name="jaxgen-engine", daemon=True)
        self._worker.start()

    @property
    def depth(self) -> int:
        """Images requested and not sampled yet."""
        return self._depth

    def sample(
        self,
        served: ServedModel,
        seed: np.ndarray,
        index: np.ndarray,
        *,
        deadline: float,
        since: float | None = None,
        on_frame: OnFrame | None = None,
        **inputs: Unpack[Inputs],
    ) -> Ticket[Sampled]:
        """What `jaxgen.inference.model.Model.sample` gives for the same arguments.

        deadline: seconds from now, after which the ticket raises Late; since: when (time.monotonic) the whole
        request came, None: now; on_frame(rows done, rows, images [N, H, W, C]): called by the worker
        at 20 rows of the plan or more, or after each row if it has fewer.
        Raises Busy at once, or UsageError on values that the model does not take.
        """
        feeds = served.model.feeds(seed, index, **inputs)
        return self.run(served, feeds, deadline=deadline, since=since, on_frame=on_frame)

    def run(
        self,
        served: ServedModel,
        feeds: Feeds,
        *,
        deadline: float,
        since: float | None = None,
        on_frame: OnFrame | None = None,
    ) -> Ticket[Sampled]:
        """The result of `sample` for the feeds of `jaxgen.inference.model.Model.feeds`."""
        count, model = len(feeds["seed"]), served.model
        if "plan" not in feeds and model.inference.process is not None:
            feeds = {**feeds, "plan": model.plan()}
        if on_frame is not None and count > self._max_batch:
            raise UsageError(f"at most {self._max_batch} images can be watched at once, got {count}")
        return self._admit(served, feeds, count, deadline, since, on_frame=on_frame)

    def call(self, work: Callable[[float], T], *, deadline: float) -> Ticket[T]:
        """Run work(seconds left) in the worker, between two calls of graphs. Raises Busy at once."""
        return self._admit(None, {}, 1, deadline, None, work=work)

    def close(self) -> None:
        """Stop the running call and end; waiting and later requests get Busy."""
        with self._lock:
            self._closing = True
            if self._running:
                self._running[1]()
            for waiting in (self._work, self._gathered):
                waiting.notify_all()
            jobs = list(self._jobs)
        for job in jobs:
            job.fail(_stopping())
        self._deadlines.close()
        self._worker.join(timeout=5)

    def _admit(
        self,
        served: ServedModel | None,
        feeds: dict[str, np.ndarray],
        count: int,
        deadline: float,
        since: float | None,
        **what: Any,
    ) -> Ticket[Any]:
        now = time.monotonic()
        job = Job(
            served=served, feeds=feeds, count=count, since=now if since is None else since, until=now + deadline, **what
        )
        with self._lock:
            if self._closing:
                raise _stopping()
            if self._depth and self._depth + count > self._max_queue:
                line = f"{self._depth} images wait already, of at most {self._max_queue}; try later"
                raise Busy(line, self._policy.retry_after(self._jobs))
            job.future.add_done_callback(lambda future: self._left(job))
            self._jobs.add(job)
            self._depth += count
            self._schedule.add(job)
            self._work.notify()
            if not self._schedule.alone or len(self._jobs) >= self._policy.awaited or self._depth >= self._max_batch:
                self._gathered.notify()
            self._deadlines.mind(job)
        return Ticket(job.future)

    def _left(self, job: Job) -> None:
        """Remove a job that is done: sampled, failed, late or cancelled."""
        with self._lock:
            self._jobs.discard(job)
            self._depth -= job.count
            if self._running and not any(part.job.alive for part in self._running[0].parts):
                self._running[1]()
        if job.served and not job.future.cancelled() and job.future.exception() is None:
            self._metrics.sampled(job.served.name, job.count)

    def _serve(self) -> None:
        while True:
            try:
                with self._lock:
                    turn = self._turn()
                if turn is None:
                    return
                if isinstance(turn, Job):
                    self._run(turn)
                else:
                    self._advance(*turn)
            except Exception as err:  # such as out of memory: the only worker must go on
                self._start_afresh(err)

    def _turn(self) -> Job | tuple[ModelQueue, Batch, Stop] | None:
        """The next piece of work; waits for one. None: the engine is closing."""
        while not self._closing:
            turn = self._schedule.next()
            if isinstance(turn, Job):
                return turn
            if isinstance(turn, tuple):
                self._running = turn[1], Stop()
                return turn[0], *self._running
            if turn is None:
                self._work.wait()
            else:
                self._gathered.wait(turn)
        return None

    def _start_afresh(self, err: Exception) -> None:
        log.error("the engine failed", exc_info=err)
        with self._lock:
            self._running = None
            self._schedule.clear()
            jobs = list(self._jobs)
        for job in jobs:
            job.fail(_shown(err, job.served.name if job.served else "this"))

    def _run(self, errand: Job) -> None:
        assert errand.work is not None
        try:
            result = errand.work(max(0.0, errand.until - time.monotonic()))
        except Exception as err:
            errand.fail(_shown(err, "this"))
        else:
            errand.finish(result)

    def _advance(self, queue: ModelQueue, batch: Batch, stop: Stop) -> None:
        served = batch.served
        self._metrics.called(batch.count)
        error: Exception | None = None
        try:
            pace = batch.advance(self._slice_seconds, self._policy.pace(served), stop)
        except Exception as err:
            error = err
        with self._lock:
            self._running = None
            if error is None:
                self._policy.called(served, pace)
                if batch.done:  # counted before any client can send the next request
                    group = batch.parts[0].job.group
                    self._policy.company(group, batch.parts + queue.waiting(group))
        if error is None:
            batch.deliver()
        elif len(batch.parts) == 1:
            batch.parts[0].job.fail(_shown(error, served.name))
        with self._lock:
            if error is None and batch.done:
                queue.finish(batch)
                self._policy.answered(served)
            elif error is not None and len(batch.parts) > 1:
                queue.split(batch)  # one part may be the cause; abandoned ones are dropped


def _shown(err: Exception, name: str) -> JaxgenError:
    """The error itself if it is a JaxgenError; else a one-line summary, with the details in the log."""
    if isinstance(err, JaxgenError):
        return err
    log.error("%s failed", name, exc_info=err)
    return JaxgenError(f"{name} failed: {type(err).__name__}")


def _stopping() -> Busy:
    return Busy("the server is stopping; try later", 5.0)
