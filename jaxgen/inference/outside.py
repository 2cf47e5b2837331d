"""Running a sampler's graph with part of its work outside: filling in defaults, splitting the plan, making noise.

For runtimes that cannot override inputs with a default, cannot be stopped inside a loop, or compute the graph's
integers wrongly. The results equal those of the whole graph in other runtimes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import to_uint8
from jaxgen.inference.session import Feeds, Stop
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.prng import image_noise

Infer = Callable[[Sequence[str], Feeds], list[np.ndarray]]  # infer(outputs, all inputs): one call of a runtime
NOISE, NOISE_INDEX = COLUMNS.index("noise"), COLUMNS.index("noise_index")


class Outside:
    """The work function of a `jaxgen.inference.session.Threaded`, for a graph without defaults.

    A file that reads images has no defaults and no noise, and is run unchanged.
    """

    def __init__(
        self,
        infer: Infer,
        defaults: Mapping[str, np.ndarray],
        *,
        rows: int = 1,
        noise_shape: Sequence[int] | None = None,
    ) -> None:
        """rows: the most plan rows per call, because a run can be stopped only between calls; noise_shape: of one
        image's noise, computed in NumPy; None: the graph computes it."""
        self._infer, self._defaults, self._rows = infer, defaults, rows
        self._noise_shape = None if noise_shape is None else tuple(noise_shape)

    def __call__(self, outputs: Sequence[str], feeds: Feeds, stop: Stop) -> list[np.ndarray]:
        if "seed" not in feeds:
            return self._infer(outputs, feeds)
        feeds = {**self._defaults, **feeds}
        if "plan" in feeds:
            results = self._by_plan(feeds, stop)
            return [results[name] for name in outputs]
        if self._noise_shape and not feeds["latent"].size:  # the default: the seed's own latent
            feeds["latent"] = self._noise(feeds, 0)
        return self._infer(outputs, feeds)

    def _by_plan(self, feeds: dict[str, np.ndarray], stop: Stop) -> dict[str, np.ndarray]:
        """The loop of `jaxgen.sampling.plan.run`, some rows at a time."""
        if self._noise_shape and not feeds["state"].size:
            x = self._noise(feeds, 0)
            feeds["state"] = np.stack([x, np.zeros_like(x)])
        results: dict[str, np.ndarray] = {}
        for part in _parts(feeds["plan"], self._rows):
            if stop.requested:
                raise JaxgenError("the run was stopped")
            results = self._part({**feeds, "plan": part})
            feeds["state"] = results["state_out"]
        return results

    def _part(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run some rows, of which only the last may add noise."""
        last, names = feeds["plan"][-1], ("images", "state_out")
        if not self._noise_shape or not last[NOISE]:
            return dict(zip(names, self._infer(names, feeds), strict=True))
        quiet = feeds["plan"].copy()
        quiet[-1, NOISE] = 0
        _, (x, x0) = self._infer(names, {**feeds, "plan": quiet})
        x = x + last[NOISE] * self._noise(feeds, int(last[NOISE_INDEX]))
        # The caller checks the state for NaN, which has no uint8 value.
        return {"images": to_uint8(np.nan_to_num(x)), "state_out": np.stack([x, x0])}

    def _noise(self, feeds: Feeds, sample: int) -> np.ndarray:
        assert self._noise_shape is not None
        return image_noise(feeds["seed"], feeds["index"], sample, self._noise_shape)


def require_one_thread(threads: int | None, runtime: str) -> None:
    """Raise UsageError if more than one thread is requested."""
    if threads is not None and threads > 1:
        raise UsageError(f"{runtime} runs in one thread, got {threads}; leave the number out")


def _parts(plan: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """The plan in parts of at most `most` rows, of which only the last may add noise."""
    begin = 0
    for end, noise in enumerate(plan[:, NOISE], start=1):
        if noise or end - begin == most or end == len(plan):
            yield plan[begin:end]
            begin = end
