"""A thread that fails requests whose deadline has passed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection

from jaxgen_serve.batching.requests import Job, Late


class Deadlines:
    """Fails each of `jobs` with Late when its time is over."""

    def __init__(
        self, lock: threading.Lock, jobs: Collection[Job], retry_after: Callable[[Collection[Job]], float]
    ) -> None:
        """lock: guards `jobs`; retry_after(jobs): in how many seconds to try again, called under the lock."""
        self._jobs, self._retry_after = jobs, retry_after
        self._lock, self._earlier = lock, threading.Condition(lock)
        self._next = math.inf  # by time.monotonic
        self._closing = False
        self._thread = threading.Thread(target=self._mind, name="jaxgen-deadlines", daemon=True)
        self._thread.start()

    def mind(self, job: Job) -> None:
        """Watch a job that was just added to `jobs`. Called under the lock."""
        if job.until < self._next:
            self._earlier.notify()

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._closing = True
            self._earlier.notify()
        self._thread.join(timeout=5)

    def _mind(self) -> None:
        while True:
            with self._lock:
                if self._closing:
                    return
                now = time.monotonic()
                late = [job for job in self._jobs if job.until <= now]
                if not late:
                    self._next = min((job.until for job in self._jobs), default=math.inf)
                    self._earlier.wait(None if self._next == math.inf else self._next - now)
                    continue
                retry_after = self._retry_after(self._jobs)
            for job in late:
                what = f"{job.served.name}: not sampled" if job.served else "not done"
                job.fail(Late(f"{what} in time; try later, or ask for less", retry_after))
