"""A model as one request sees it: each run of its graph goes through the engine, and all of them share a deadline.

These stand before a model's own session. What `jaxgen.latent` does with a model it does with one that has such a
session, in the request's own thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.sampler import Model
from jaxgen.inference.session import Feeds, Session, Stop
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

    def left(self, sooner: float | None = None) -> float:
        """Seconds to the deadline, or to one that is sooner."""
        left = self._until - time.monotonic()
        return left if sooner is None else min(left, sooner)

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


class QueuedModel:
    """A model's session, whose runs take their turn in the engine. They may raise Busy and Late besides."""

    def __init__(self, model: ServedModel, caller: Caller) -> None:
        self._model, self._caller = model, caller
        self.inputs, self.outputs = model.sampler.session.inputs, model.sampler.session.outputs

    def run(
        self, outputs: Sequence[str], feeds: Feeds, deadline: float | None = None, stop: Stop | None = None
    ) -> list[np.ndarray]:
        """See `jaxgen.inference.session.Session.run`; deadline: if it is to be shorter than the request's."""
        caller = self._caller
        ticket = caller.engine.run(self._model, dict(feeds), deadline=caller.left(deadline), since=caller.since)
        if stop:
            stop.ends(ticket.cancel)
        images, state = caller.wait(ticket)
        return [images] if state is None else [images, state]


class QueuedPredictor:
    """An encoder's session, likewise; the engine runs it as a piece of work of its own."""

    def __init__(self, reader: Predictor, caller: Caller) -> None:
        self._session, self._caller = reader.session, caller
        self.inputs, self.outputs = self._session.inputs, self._session.outputs

    def run(
        self, outputs: Sequence[str], feeds: Feeds, deadline: float | None = None, stop: Stop | None = None
    ) -> list[np.ndarray]:
        """See `jaxgen.inference.session.Session.run`; deadline: if shorter than what is left of the request's."""

        def work(left: float) -> list[np.ndarray]:
            return self._session.run(outputs, feeds, left if deadline is None else min(left, deadline), stop)

        return self._caller.wait(self._caller.engine.call(work, deadline=self._caller.left()))


class Within:
    """A session whose runs have so many seconds from now, all together; then they raise JaxgenError."""

    def __init__(self, session: Session, seconds: float) -> None:
        self._session, self._end = session, time.monotonic() + seconds
        self.inputs, self.outputs = session.inputs, session.outputs

    def run(
        self, outputs: Sequence[str], feeds: Feeds, deadline: float | None = None, stop: Stop | None = None
    ) -> list[np.ndarray]:
        """See `jaxgen.inference.session.Session.run`."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise JaxgenError("stopped: it takes longer than its deadline; ask for fewer images or steps")
        return self._session.run(outputs, feeds, left if deadline is None else min(left, deadline), stop)


def queued(model: ServedModel, caller: Caller) -> Model:
    """A model that samples through the engine."""
    return Model(model.sampler.artifact, QueuedModel(model, caller))


def space(model: ServedModel, caller: Caller, **options: Any) -> Space:
    """The latents of a model, as `jaxgen.latent.spaces.open_space`; options: those of `Noises`.

    Raises UsageError for what the model does not have.
    """
    seen = queued(model, caller)
    if seen.inference.process is not None:
        return Noises(seen, **options)
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{model.name} draws in one evaluation: it takes no {', '.join(given)}")
    reader = Predictor(model.reader.artifact, QueuedPredictor(model.reader, caller)) if model.reader else None
    return Codes(seen, reader, seen.artifact.path.with_name(model.name + ENCODER))
