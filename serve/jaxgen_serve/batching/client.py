"""A model as one request sees it: each call of its graph goes through the engine, and all of them share a deadline.

What `jaxgen.latent` does with a model it does with these unchanged, in the request's own thread.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar, Unpack

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.sampler import Inputs, Model
from jaxgen.latent.spaces import Codes, Noises, Space
from jaxgen_serve.batching.engine import Engine, Ticket
from jaxgen_serve.models.registry import ENCODER, ServedModel

T = TypeVar("T")


class Caller:
    """One request, that calls the engine as often as it needs, one call after the other."""

    def __init__(self, engine: Engine, deadline: float) -> None:
        """deadline: seconds from now, for all calls together."""
        self.engine = engine
        self.since = time.monotonic()  # in each call it is as old as it is
        self._until = self.since + deadline
        self._ticket: Ticket[Any] | None = None
        self._gone = False

    def left(self) -> float:
        """Seconds to the deadline."""
        return self._until - time.monotonic()

    def wait(self, ticket: Ticket[T]) -> T:
        """Raises what `Ticket.result` raises; CancelledError after `cancel`."""
        self._ticket = ticket
        if self._gone:
            ticket.cancel()
        return ticket.result()

    def cancel(self) -> None:
        """From another thread: the client has gone. The call that runs is cancelled, and so is each later one."""
        self._gone = True
        if self._ticket is not None:
            self._ticket.cancel()


class QueuedModel(Model):
    """A model whose `draw` goes through the engine. It may raise Busy and Late besides."""

    def __init__(self, model: ServedModel, caller: Caller) -> None:
        self._model, self._caller = model, caller
        self.artifact = model.sampler.artifact

    def sample(
        self, seed: np.ndarray, index: np.ndarray, *, deadline: float | None = None, **inputs: Unpack[Inputs]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As `ServedModel.draw`; deadline: in seconds, if it is to be shorter than the request's."""
        caller = self._caller
        left = caller.left() if deadline is None else min(caller.left(), deadline)
        return caller.wait(caller.engine.sample(self._model, seed, index, deadline=left, since=caller.since, **inputs))


class QueuedPredictor(Predictor):
    """A model's encoder, whose `read` goes through the engine. It may raise Busy and Late besides."""

    def __init__(self, reader: Predictor, caller: Caller) -> None:
        self._reader, self._caller = reader, caller
        self.artifact, self.kind, self.outputs = reader.artifact, reader.kind, reader.outputs

    def read(
        self, images: np.ndarray, *, batch_size: int = 512, deadline: float | None = None
    ) -> dict[str, np.ndarray]:
        """As `Predictor.read`; deadline: in seconds a batch, if shorter than what is left of the request's."""

        def work(left: float) -> dict[str, np.ndarray]:
            shorter = left if deadline is None else min(left, deadline)
            return self._reader.read(images, batch_size=batch_size, deadline=shorter)

        caller = self._caller
        return caller.wait(caller.engine.call(work, deadline=caller.left()))


def space(model: ServedModel, caller: Caller, **options: Any) -> Space:
    """The latents of a model, as `jaxgen.latent.spaces.open_space`; options: those of `Noises`.

    Raises UsageError for what the model does not have.
    """
    seen = QueuedModel(model, caller)
    if seen.inference.process is not None:
        return Noises(seen, **options)
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{model.name} draws in one evaluation: it takes no {', '.join(given)}")
    reader = QueuedPredictor(model.reader, caller) if model.reader else None
    return Codes(seen, reader, seen.artifact.path.with_name(model.name + ENCODER))


def spaces(model: ServedModel, engine: Engine, deadline: float, **options: Any) -> Space:
    """`space` for a request that uses no more than this one."""
    return space(model, Caller(engine, deadline), **options)
