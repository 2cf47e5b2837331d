"""How long a request should wait for others to join: learned from the time and company of earlier calls."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from jaxgen_serve.batching.queue import ModelQueue
from jaxgen_serve.batching.requests import Job, Part
from jaxgen_serve.models.registry import ServedModel

RETURN = 25  # delays: with 32 clients, the last one's next request comes 30 ms after the first one's answer
SHARE = 1 / 4  # of the time that their images take


@dataclass
class _History:
    """A model's newest call, and the requests in the newest one that finished its images."""

    pace: float = 0.0  # seconds per row and image
    ended: float = 0.0  # by time.monotonic
    group: Hashable = None
    requests: float = math.inf  # answered, or of the same group and waiting then
    seconds: float = 0.0  # that all of these take


class WaitPolicy:
    """Decides how long to wait, from the engine's past calls. Used under the engine's lock."""

    def __init__(self, max_batch: int, max_delay: float) -> None:
        self._max_batch, self._max_delay = max_batch, max_delay
        self._histories: WeakKeyDictionary[ServedModel, _History] = WeakKeyDictionary()
        self.awaited = math.inf  # requests: as soon as so many are here, `seconds_left` is 0

    def pace(self, served: ServedModel) -> float:
        """Seconds per row and image; 0: not measured yet."""
        return self._histories[served].pace if served in self._histories else 0.0

    def seconds(self, jobs: Iterable[Job]) -> float:
        """Estimated seconds of jobs, one after another."""
        return sum(self.pace(job.served) * job.count * job.rows for job in jobs if job.served)

    def retry_after(self, jobs: Iterable[Job]) -> float:
        """Seconds after which to ask again while these wait: from 1 to 60."""
        return min(60.0, max(1.0, self.seconds(jobs)))

    def called(self, served: ServedModel, pace: float) -> None:
        """Record the pace of a call that has ended."""
        self._histories.setdefault(served, _History()).pace = pace

    def company(self, group: Hashable, parts: Iterable[Part]) -> None:
        """Record the parts that just finished or wait for a similar call: as many may soon come again."""
        jobs = {part.job for part in parts}
        served = next(iter(jobs)).served
        assert served is not None
        history = self._histories[served]
        history.group, history.requests, history.seconds = group, len(jobs), self.seconds(jobs)

    def answered(self, served: ServedModel) -> None:
        """Record that the clients of the newest call have their images."""
        self._histories[served].ended = time.monotonic()

    def seconds_left(self, served: ServedModel, queue: ModelQueue) -> float:
        """How much longer to wait for others when the engine is idle; 0 or less: do not wait.

        Clients that were answered together tend to send the next request together, so the engine waits for as many as
        there were: RETURN times `max_delay` from their answers, but at most SHARE of the time that their images take.
        Without a history, a request waits for `max_delay`; never so long that it would be late.
        """
        group, waiting = queue.oldest()
        if queue.under_way or not waiting:
            return 0.0
        history = self._histories.get(served, _History())
        known = history.group == group
        self.awaited = history.requests if known else math.inf
        jobs = {part.job for part in waiting}
        if len(jobs) >= self.awaited or sum(part.count for part in waiting) >= self._max_batch:
            return 0.0
        first = waiting[0].job
        until = first.since + self._max_delay
        if known:
            until = max(until, history.ended + min(RETURN * self._max_delay, SHARE * history.seconds))
        return min(until, first.until - self.seconds(jobs)) - time.monotonic()
