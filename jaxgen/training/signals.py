"""SIGINT and SIGTERM while training: finish the current step, save, and exit with 130 or 143."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from jaxgen.errors import Interrupted

T = TypeVar("T")


class StopSignal:
    """Raises Interrupted at a signal; inside `deferred()` it only records the signal in `signal`."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._deferred = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle both signals for the length of the block (a no-op outside the main thread)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._received) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Record signals instead of raising, while the run has something to save."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def side_work(self, work: Callable[[], T]) -> T | None:
        """The result of work(), or None as soon as a signal comes: for long work that may be abandoned, as compiling.

        Runs in its own thread, because a Python signal handler waits for the end of a call into C++.
        """
        result: list[T] = []
        errors: list[BaseException] = []

        def body() -> None:
            try:
                result.append(work())
            except BaseException as err:  # handed to the caller below
                errors.append(err)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        while thread.is_alive() and self.signal is None:
            thread.join(0.1)
        if errors:
            raise errors[0]
        return result[0] if result else None

    def _received(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:  # a second signal stops at once
            os._exit(128 + number)
        self.signal = number
        if not self._deferred:
            raise Interrupted("interrupted before there was anything to save", number)
