"""A sampler's graph run with part of its work outside: defaults filled in, the plan cut, noise from NumPy.

For runtimes that cannot be fed inputs with a default, cannot be stopped inside a loop, or compute the graph's integers
wrongly. What comes out is what the whole graph gives elsewhere.
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
    """The work of a `jaxgen.inference.session.Threaded` on a graph that must be fed all its inputs.

    A file that reads images has no defaults and no noise, and is run as it is.
    """

    def __init__(
        self,
        infer: Infer,
        defaults: Mapping[str, np.ndarray],
        *,
        rows: int = 1,
        noise_shape: Sequence[int] | None = None,
    ) -> None:
        """rows: of a plan in one call, at most: only between calls a run can be stopped; noise_shape: of one image's
        noise, which is to come from NumPy; None: the graph makes its own."""
        self._infer, self._defaults, self._rows = infer, defaults, rows
        self._noise_shape = None if noise_shape is None else tuple(noise_shape)

    def __call__(self, outputs: Sequence[str], feeds: Feeds, stop: Stop) -> list[np.ndarray]:
        if "seed" not in feeds:
            return self._infer(outputs, feeds)
        feeds = {**self._defaults, **feeds}
        if "plan" in feeds:
            found = self._by_plan(feeds, stop)
            return [found[name] for name in outputs]
        if self._noise_shape and not feeds["latent"].size:  # the default, which stands for the seed's own
            feeds["latent"] = self._noise(feeds, 0)
        return self._infer(outputs, feeds)

    def _by_plan(self, feeds: dict[str, np.ndarray], stop: Stop) -> dict[str, np.ndarray]:
        """The loop of `jaxgen.sampling.plan.run`, a stretch of rows at a time."""
        if self._noise_shape and not feeds["state"].size:
            x = self._noise(feeds, 0)
            feeds["state"] = np.stack([x, np.zeros_like(x)])
        found: dict[str, np.ndarray] = {}
        for stretch in _stretches(feeds["plan"], self._rows):
            if stop.asked:
                raise JaxgenError("it was told to stop")
            found = self._stretch({**feeds, "plan": stretch})
            feeds["state"] = found["state_out"]
        return found

    def _stretch(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Some rows, the last of which alone may add noise."""
        last, names = feeds["plan"][-1], ("images", "state_out")
        if not self._noise_shape or not last[NOISE]:
            return dict(zip(names, self._infer(names, feeds), strict=True))
        quiet = feeds["plan"].copy()
        quiet[-1, NOISE] = 0
        _, (x, x0) = self._infer(names, {**feeds, "plan": quiet})
        x = x + last[NOISE] * self._noise(feeds, int(last[NOISE_INDEX]))
        # A state of NaN is for its owner to find, and has no pixels.
        return {"images": to_uint8(np.nan_to_num(x)), "state_out": np.stack([x, x0])}

    def _noise(self, feeds: Feeds, sample: int) -> np.ndarray:
        assert self._noise_shape is not None
        return image_noise(feeds["seed"], feeds["index"], sample, self._noise_shape)


def require_one_thread(threads: int | None, runtime: str) -> None:
    """Raise UsageError if a runtime that has one is to use more."""
    if threads is not None and threads > 1:
        raise UsageError(f"{runtime} runs in one thread, got {threads}; leave the number out")


def _stretches(plan: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """The plan in pieces of at most so many rows, in each of which the last row alone may add noise."""
    begin = 0
    for end, noise in enumerate(plan[:, NOISE], start=1):
        if noise or end - begin == most or end == len(plan):
            yield plan[begin:end]
            begin = end
