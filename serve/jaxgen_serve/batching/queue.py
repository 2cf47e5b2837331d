"""The queue of one model: the oldest request comes first, with those that can share its calls."""

from __future__ import annotations

import bisect
from collections.abc import Hashable

from jaxgen_serve.batching.batch import Batch
from jaxgen_serve.batching.requests import Job, Part


class ModelQueue:
    """Requests that wait for a model, and batches under way. Used under the engine's lock."""

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        self._waiting: dict[Hashable, list[Part]] = {}  # by group, the oldest first
        self._under_way: list[Batch] = []

    def add(self, job: Job) -> None:
        parts = self._waiting.setdefault(job.group, [])
        for part in job.parts(self._max_batch):
            bisect.insort(parts, part, key=_since)

    def waiting(self, group: Hashable) -> list[Part]:
        """The waiting parts of a group, the oldest first."""
        return self._waiting.get(group, [])

    def oldest(self) -> tuple[Hashable, list[Part]]:
        """The group that has waited longest, and its waiting parts: none if nobody waits."""
        self._drop_dead()
        group = min(self._waiting, key=lambda key: _since(self._waiting[key][0]), default=None)
        return group, self.waiting(group)

    @property
    def under_way(self) -> bool:
        return bool(self._under_way)

    def next(self) -> Batch | None:
        """The batch to advance now; None if nobody waits for any."""
        group, waiting = self.oldest()
        oldest = min(self._under_way, key=lambda batch: batch.since, default=None)
        if waiting and (oldest is None or _since(waiting[0]) < oldest.since):
            return self._start(group)
        return oldest

    def finish(self, batch: Batch) -> None:
        """Remove a batch that is at the end of its plan."""
        self._under_way.remove(batch)

    def split(self, batch: Batch) -> None:
        """Continue with each part of a batch alone."""
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
        """Start a batch of the oldest parts of a group, as many as fit."""
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
