"""A batch of requests that share calls of the graph, advanced through their plan in slices of rows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import numpy as np

from jaxgen.inference.session import Stop
from jaxgen_serve.batching.requests import SHARED, Array, Feeds, Part, picked
from jaxgen_serve.models.registry import ServedModel

FRAMES = 20  # at least, if somebody watches and the plan has as many rows


class Batch:
    """Parts that are sampled together; `row` of `rows` rows of their plan are done."""

    def __init__(self, parts: Sequence[Part], feeds: Feeds | None = None, row: int = 0) -> None:
        """feeds, row: the state of parts that are under way; None: they start here."""
        self.parts, self.row, self.rows = list(parts), row, parts[0].job.rows
        self.feeds = feeds if feeds is not None else _joined([part.feeds() for part in parts])
        self.images: Array | None = None  # uint8 [N, H, W, C] as of `row`
        self._seconds_per_row: float | None = None

    @property
    def served(self) -> ServedModel:
        served = self.parts[0].job.served
        assert served is not None
        return served

    @property
    def done(self) -> bool:
        return self.row == self.rows

    @property
    def since(self) -> float:
        return min(part.job.since for part in self.parts)

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    def drop_dead(self) -> None:
        """Drop the parts whose caller no longer waits."""
        alive = [part.job.alive for part in self.parts]
        if not all(alive):
            keep = np.repeat(alive, [part.count for part in self.parts])
            self.feeds = picked(self.feeds, keep)
            self.parts = [part for part, stays in zip(self.parts, alive, strict=True) if stays]

    def advance(self, slice_seconds: float, pace: float, stop: Stop) -> float:
        """Run as many rows as take about `slice_seconds`, one at least. Returns their pace, in seconds a row and
        image.

        pace: the model's last one, 0 if there is none.
        """
        end = self._next_cut(slice_seconds, pace)
        feeds = dict(self.feeds)
        if "plan" in feeds:
            feeds["plan"] = feeds["plan"][self.row : end]
        begin = time.monotonic()
        # `stop` ends the run from outside. The deadline frees this thread if onnxruntime ignores it.
        left = max(part.job.until for part in self.parts) - begin + 1
        self.images, after = self.served.model.run(feeds, left, stop)
        self._seconds_per_row = (time.monotonic() - begin) / (end - self.row)
        self.row = end
        if after is not None:
            self.feeds["state"] = after
        return self._seconds_per_row / self.count

    def split(self) -> list[Batch]:
        """One batch per part, each from the current row."""
        return [Batch([part], picked(self.feeds, images), self.row) for part, images in self._slices()]

    def deliver(self) -> None:
        """Deliver frames or finished images, and fail the jobs whose images have become NaN."""
        for part, images in self._slices():
            try:
                self._hand_over(part, images)
            except Exception as err:  # from on_frame, or out of memory
                part.job.fail(err)

    def _hand_over(self, part: Part, span: slice) -> None:
        assert self.images is not None
        images, state, job = self.images[span], self.feeds.get("state"), part.job
        now = None if state is None else state[:, span]
        if now is not None and np.isnan(now).any():
            job.fail(self.served.model.diverged())
            return
        if job.on_frame and job.alive:
            job.on_frame(self.row, self.rows, images)
        if self.done:
            job.take(part.start, part.stop, images, now)

    def _slices(self) -> list[tuple[Part, slice]]:
        ends = list(itertools.accumulate(part.count for part in self.parts))
        return [(part, slice(end - part.count, end)) for part, end in zip(self.parts, ends, strict=True)]

    def _next_cut(self, slice_seconds: float, pace: float) -> int:
        seconds = self._seconds_per_row or pace * self.count
        rows = max(1, int(slice_seconds / seconds)) if seconds else 1
        if any(part.job.on_frame for part in self.parts):
            rows = min(rows, max(1, self.rows // FRAMES))
        return min(self.row + rows, self.rows)


def _joined(feeds: Sequence[Feeds]) -> Feeds:
    if len(feeds) == 1:
        return dict(feeds[0])
    return {
        name: value if name in SHARED else np.concatenate([one[name] for one in feeds], axis=int(name == "state"))
        for name, value in feeds[0].items()
    }
