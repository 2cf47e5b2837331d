"""How long a model's calls take, how many ask for them at once, and so how long a request should wait for company."""

from __future__ import annotations

import time
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from jaxgen_serve.jobs import Job
from jaxgen_serve.lanes import Lane
from jaxgen_serve.library import Model


class Gathering:
    """What the engine has seen of its calls. To be used under the engine's lock."""

    def __init__(self, max_batch: int, max_delay: float) -> None:
        self._max_batch, self._max_delay = max_batch, max_delay
        self._pace: WeakKeyDictionary[Model, float] = WeakKeyDictionary()  # seconds a row and picture
        self._company: WeakKeyDictionary[Model, int] = WeakKeyDictionary()  # pictures at once, when last seen
        self._ended = 0.0  # the last call, by time.monotonic
        self.awaited = max_batch  # pictures: as soon as so many are here, `seconds_left` is 0

    def pace(self, model: Model) -> float | None:
        """Seconds a row and picture; None: not seen yet."""
        return self._pace.get(model)

    def seconds(self, jobs: Iterable[Job]) -> float:
        """About how long they will take one after another."""
        return sum(self._pace.get(job.model, 0.0) * job.count * job.rows for job in jobs if job.model)

    def called(self, model: Model, pace: float) -> None:
        """A call has ended."""
        self._pace[model] = pace
        self._ended = time.monotonic()

    def answered(self, model: Model, company: int) -> None:
        """A call has brought pictures to their end, so that with those who wait there are `company` of them."""
        self._company[model] = company

    def seconds_left(self, model: Model, lane: Lane) -> float:
        """How much longer it is worth waiting for company, if there is nothing else to do; 0 or less: not at all.

        Clients who were just answered tend to ask again, so as many are waited for as there were then: for `max_delay`,
        or, after a call, for a sixth of the time that they will take together, if that is longer.
        """
        waiting = lane.waiting
        self.awaited = min(self._max_batch, self._company.get(model, self._max_batch))
        if lane.under_way or not waiting or sum(part.count for part in waiting) >= self.awaited:
            return 0.0
        first = min((part.job for part in waiting), key=lambda job: job.since)
        together = self._pace.get(model, 0.0) * first.rows * self.awaited
        return max(first.since + self._max_delay, self._ended + together / 6) - time.monotonic()
