"""How long a model's calls take, how many ask for them at once, and so how long a request should wait for company."""

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
SHARE = 1 / 4  # of the time that their images take together


@dataclass
class _Seen:
    """A model's newest call, and the company in the newest one that ended its images."""

    pace: float = 0.0  # seconds a row and image
    ended: float = 0.0  # by time.monotonic
    group: Hashable = None
    requests: float = math.inf  # that were answered, and those of the same group that waited then
    seconds: float = 0.0  # that all of these take together


class WaitPolicy:
    """What the engine has seen of its calls. To be used under the engine's lock."""

    def __init__(self, max_batch: int, max_delay: float) -> None:
        self._max_batch, self._max_delay = max_batch, max_delay
        self._seen: WeakKeyDictionary[ServedModel, _Seen] = WeakKeyDictionary()
        self.awaited = math.inf  # requests: as soon as so many are here, `seconds_left` is 0

    def pace(self, model: ServedModel) -> float:
        """Seconds a row and image; 0: not seen yet."""
        return self._seen[model].pace if model in self._seen else 0.0

    def seconds(self, jobs: Iterable[Job]) -> float:
        """About how long they will take one after another."""
        return sum(self.pace(job.model) * job.count * job.rows for job in jobs if job.model)

    def called(self, model: ServedModel, pace: float) -> None:
        """A call is over."""
        self._seen.setdefault(model, _Seen()).pace = pace

    def company(self, group: Hashable, parts: Iterable[Part]) -> None:
        """These have just come to the end of their plan or wait for one like it: so many may soon be here again."""
        jobs = {part.job for part in parts}
        model = next(iter(jobs)).model
        assert model is not None
        seen = self._seen[model]
        seen.group, seen.requests, seen.seconds = group, len(jobs), self.seconds(jobs)

    def answered(self, model: ServedModel) -> None:
        """The clients of the newest call have their images."""
        self._seen[model].ended = time.monotonic()

    def seconds_left(self, model: ServedModel, lane: ModelQueue) -> float:
        """How much longer it is worth waiting for company, if there is nothing else to do; 0 or less: not at all.

        Clients who were answered together tend to ask again together, so as many are waited for as there were: for
        RETURN times `max_delay` from their answers, but not for more than SHARE of what their images take. Where
        nothing is known, a request waits for `max_delay`; never so long that it would be late.
        """
        group, waiting = lane.oldest()
        if lane.under_way or not waiting:
            return 0.0
        seen = self._seen.get(model, _Seen())
        known = seen.group == group
        self.awaited = seen.requests if known else math.inf
        jobs = {part.job for part in waiting}
        if len(jobs) >= self.awaited or sum(part.count for part in waiting) >= self._max_batch:
            return 0.0
        first = waiting[0].job
        until = first.since + self._max_delay
        if known:
            until = max(until, seen.ended + min(RETURN * self._max_delay, SHARE * seen.seconds))
        return min(until, first.until - self.seconds(jobs)) - time.monotonic()
