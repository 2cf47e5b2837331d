"""A model as one request uses it: each run of its graph goes through the engine, and all runs share a deadline.

These classes wrap a model's session, so that `jaxgen.latent` can work with the model in the request's own thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.inference.model import Model
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.session import Feeds, Stop
from jaxgen.latent.spaces import Codes, Noises, Space
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.batching.requests import Ticket
from jaxgen_serve.models.registry import ENCODER, ServedModel

T = TypeVar("T")


class Caller:
    """One request that calls the engine several times, one call after the other."""

    def __init__(self, engine: Engine, deadline: float) -> None:
        """deadline: seconds from now, for all calls together."""
        self.engine = engine
        self.since = time.monotonic()  # each call counts as this old
        self._until = self.since + deadline
        self._ticket: Ticket[Any] | None = None
        self._gone = False

    def left(self, sooner: float | None = None) -> float:
        """Seconds to the deadline, or `sooner` if that is less."""
        left = self._until - time.monotonic()
        return left if sooner is None else min(left, sooner)

    def wait(self, ticket: Ticket[T]) -> T:
        """Raises what `Ticket.result` raises; CancelledError after `cancel`."""
        self._ticket = ticket
        if self._gone:
            ticket.cancel()
        return ticket.result()

    def cancel(self) -> None:
        """Called from another thread when the client has gone: cancels the running call and each later one."""
        self._gone = True
        if self._ticket is not None:
            self._ticket.cancel()


class QueuedModel:
    """A model's session whose runs wait for their turn in the engine; they may also raise Busy and Late."""

    def __init__(self, served: ServedModel, caller: Caller) -> None:
        self._served, self._caller = served, caller
        self.inputs, self.outputs = served.model.session.inputs, served.model.session.outputs

    def run(
        self, outputs: Sequence[str], feeds: Feeds, deadline: float | None = None, stop: Stop | None = None
    ) -> list[np.ndarray]:
        """See `jaxgen.inference.session.Session.run`; deadline: used if it is shorter than the request's."""
        caller = self._caller
        ticket = caller.engine.run(self._served, dict(feeds), deadline=caller.left(deadline), since=caller.since)
        if stop:
            stop.ends(ticket.cancel)
        images, state = caller.wait(ticket)
        return [images] if state is None else [images, state]


class QueuedPredictor:
    """The session of an encoder or a classifier, whose runs wait for their turn in the engine in the same way."""

    def __init__(self, predictor: Predictor, caller: Caller) -> None:
        self._session, self._caller = predictor.session, caller
        self.inputs, self.outputs = self._session.inputs, self._session.outputs

    def run(
        self, outputs: Sequence[str], feeds: Feeds, deadline: float | None = None, stop: Stop | None = None
    ) -> list[np.ndarray]:
        """See `jaxgen.inference.session.Session.run`; deadline: used if shorter than the rest of the request's."""

        def work(left: float) -> list[np.ndarray]:
            return self._session.run(outputs, feeds, left if deadline is None else min(left, deadline), stop)

        return self._caller.wait(self._caller.engine.call(work, deadline=self._caller.left()))


def queued(served: ServedModel, caller: Caller) -> Model:
    """A model that samples through the engine."""
    return Model(served.model.artifact, QueuedModel(served, caller))


def queued_predictor(predictor: Predictor, caller: Caller) -> Predictor:
    """An encoder or a classifier that reads through the engine."""
    return Predictor(predictor.artifact, QueuedPredictor(predictor, caller))


def space(served: ServedModel, caller: Caller, **options: Any) -> Space:
    """The latent space of a model, as `jaxgen.latent.spaces.open_space` gives it; options: those of `Noises`.

    Raises UsageError for what the model does not have.
    """
    model = queued(served, caller)
    if model.inference.process is not None:
        return Noises(model, **options)
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{served.name} samples in one evaluation: it takes no {', '.join(given)}")
    beside = served.encoder
    encoder = queued_predictor(beside, caller) if beside else None
    return Codes(model, encoder, model.artifact.path.with_name(served.name + ENCODER))
