"""What a command shows while it works: a bar with the time on a terminal, lines in a pipe; both on stderr."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO, cast

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 0.5  # seconds until a terminal shows that something is going on: what is faster shows nothing
LINE_EVERY = 10.0  # seconds between the lines of a stage in a pipe
KEY = "jaxgen.progress"  # of click's context


class ProgressBar:
    """A context manager; a call says what is being done, how much of it is done, and of how much.

    Until then, a terminal shows `doing` and the time that has passed. patience: seconds until it shows anything.
    What the command prints on stdout ends it.
    """

    def __init__(self, doing: str = "working", patience: float | None = None) -> None:
        self._stage, self._done, self._total = doing, 0, 0
        self._patience = PATIENCE if patience is None else patience
        self._said = ""
        self._line_at = time.monotonic()
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stdout: Any = None
        self._is_terminal = sys.stderr.isatty() or bool(os.environ.get("FORCE_COLOR"))

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Wait for the patience to end, and show the bar."""
        if self._is_terminal:
            self._timer = threading.Timer(self._patience, self._show)
            self._timer.daemon = True
            self._timer.start()
            if not self._patience:
                self._timer.join()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar away, until `start`."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            self._timer = None
            if self._stdout is not None:
                sys.stdout, self._stdout = self._stdout, None
            if self._bar:
                self._bar.stop()
            self._bar = self._task = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Away for what shows its own progress; back afterwards, if it was there."""
        was_running = self._timer is not None
        self.stop()
        yield
        if was_running:
            self.start()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """In a pipe, each stage has a line when it begins; parts of a stage, named after a colon, are one line."""
        name = stage.partition(": ")[0]
        if not self._is_terminal and name != self._said:
            click.echo(f"{name} ...", err=True)
            self._said = name
        self.count(stage, done, total)

    def count(self, stage: str, done: int, total: int) -> None:
        """As a call, but a pipe hears only of what takes LINE_EVERY seconds, and then again and again."""
        if self._is_terminal:
            with self._lock:
                is_new = stage != self._stage
                self._stage, self._done, self._total = stage, done, total
                self._update(is_new)
        elif done < total and time.monotonic() - self._line_at >= LINE_EVERY:
            click.echo(f"{stage}: {done:,} of {total:,}", err=True)
            self._line_at = time.monotonic()

    def _show(self) -> None:
        """Draw the bar; called by the timer, in its thread."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        with self._lock:
            if self._timer is None or self._bar:
                return
            columns = (
                TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[of]}"),
                TimeElapsedColumn(), TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
            self._update(is_new=True)
            self._bar.start()
            if sys.stdout.isatty():
                self._stdout = sys.stdout
                sys.stdout = cast(TextIO, _Announced(self._stdout, self.stop))

    def _update(self, is_new: bool) -> None:
        if self._bar is None:
            return
        if is_new or self._task is None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(self._stage, total=self._total or None, of="")
        of = f"{self._done:,}/{self._total:,}" if self._total else ""
        self._bar.update(self._task, completed=self._done, total=self._total or None, of=of)


class _Announced:
    """stdout, with a call before anything is written to it."""

    def __init__(self, stream: TextIO, before: Any) -> None:
        self._stream, self._before = stream, before

    def write(self, text: str) -> int:
        self._before()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def current() -> ProgressBar:
    """The bar of the command that runs; outside a command, one that shows nothing."""
    context = click.get_current_context(silent=True)
    return (context.meta.get(KEY) if context else None) or ProgressBar()
