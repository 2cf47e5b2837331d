"""Which images are drawn next, of one model: the oldest request's first, with those that can share its calls."""

from __future__ import annotations

import bisect
from collections.abc import Hashable

from jaxgen_serve.batching.batch import Batch
from jaxgen_serve.batching.requests import Job, Part


class ModelQueue:
    """What waits for a model and what is under way. To be used under the engine's lock."""

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        self._waiting: dict[Hashable, list[Part]] = {}  # by group, the oldest first
        self._under_way: list[Batch] = []

    def add(self, job: Job) -> None:
        parts = self._waiting.setdefault(job.group, [])
        for part in job.parts(self._max_batch):
            bisect.insort(parts, part, key=_since)

    def waiting(self, group: Hashable) -> list[Part]:
        """What is not under way of a group, the oldest first."""
        return self._waiting.get(group, [])

    def oldest(self) -> tuple[Hashable, list[Part]]:
        """The group of what waits longest, and what waits of it: nothing if nobody waits."""
        self._drop_dead()
        group = min(self._waiting, key=lambda key: _since(self._waiting[key][0]), default=None)
        return group, self.waiting(group)

    @property
    def under_way(self) -> bool:
        return bool(self._under_way)

    def next(self) -> Batch | None:
        """The batch to be advanced now; None if nobody waits for any."""
        group, waiting = self.oldest()
        oldest = min(self._under_way, key=lambda batch: batch.since, default=None)
        if waiting and (oldest is None or _since(waiting[0]) < oldest.since):
            return self._start(group)
        return oldest

    def finish(self, batch: Batch) -> None:
        """It is at the end of its plan."""
        self._under_way.remove(batch)

    def split(self, batch: Batch) -> None:
        """Go on with each of its parts alone."""
        self._under_way.remove(batch)
        self._under_way += batch.split()

    def _drop_dead(self) -> None:
        for key in list(self._waiting):
            self._waiting[key] = [part for part in self._waiting[key] if part.job.alive]
            if not self._waiting[key]:
                del self._waiting[key]
        for batch in self._under_way:
            batch.drop_dead()
        self._under_way = [batch for batch in self._under_way if batch.parts]

    def _start(self, group: Hashable) -> Batch:
        """A batch of the oldest parts of a group, as many as there is room for."""
        parts = self._waiting[group]
        taken = [parts.pop(0)]
        while parts and sum(part.count for part in taken) + parts[0].count <= self._max_batch:
            taken.append(parts.pop(0))
        if not parts:
            del self._waiting[group]
        batch = Batch(taken)
        self._under_way.append(batch)
        return batch


def _since(part: Part) -> float:
    return part.job.since
