"""The order of the engine's work: models take turns among themselves and with other work."""

from __future__ import annotations

from collections import OrderedDict, deque

from jaxgen_serve.batching.batch import Batch
from jaxgen_serve.batching.queue import ModelQueue
from jaxgen_serve.batching.requests import Job
from jaxgen_serve.batching.wait_policy import WaitPolicy
from jaxgen_serve.models.registry import ServedModel


class Schedule:
    """The queues of the models, and the errands: work that is no model's. Used under the engine's lock."""

    def __init__(self, max_batch: int, policy: WaitPolicy) -> None:
        self._max_batch, self._policy = max_batch, policy
        self._queues: OrderedDict[ServedModel, ModelQueue] = OrderedDict()  # the next model's first
        self._errands: deque[Job] = deque()
        self._models_turn = True  # or else the errands'

    def add(self, job: Job) -> None:
        if job.served is None:
            self._errands.append(job)
            return
        if job.served not in self._queues:
            self._queues[job.served] = ModelQueue(self._max_batch)
        self._queues[job.served].add(job)

    def clear(self) -> None:
        self._queues.clear()
        self._errands.clear()

    @property
    def alone(self) -> bool:
        """Whether all waiting requests are for one model."""
        return len(self._queues) == 1 and not self._errands

    def next(self) -> Job | tuple[ModelQueue, Batch] | float | None:
        """An errand, or a batch to advance and its queue; else the seconds to wait for others to join; None: nobody
        waits."""
        while self._queues or self._errands:
            if self._errands and not (self._models_turn and self._queues):
                self._models_turn = True
                errand = self._errands.popleft()
                if errand.alive:
                    return errand
                continue
            served, queue = next(iter(self._queues.items()))
            if self.alone:
                seconds = self._policy.seconds_left(served, queue)
                if seconds > 0:
                    return seconds
            batch = queue.next()
            if batch is not None:
                self._queues.move_to_end(served)
                self._models_turn = False
                return queue, batch
            del self._queues[served]
        return None
