"""Run logging: a progress bar on a terminal or plain lines in a pipe, with metrics.jsonl and TensorBoard."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from jaxgen.errors import JaxgenError, explain, extra
from jaxgen.images import save_png
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.status import Status, duration, write_status


class RunLogger:
    """A context manager around a run; quiet on all processes but the first."""

    def __init__(self, run: RunFolder, *, start: int, total: int, batch_size: int, log_every: int, main: bool) -> None:
        with extra("train"), _without_torch():
            from tensorboardX import SummaryWriter
        self._run, self._total, self._batch, self._every = run, total, batch_size, log_every
        self._console = Console(stderr=True, quiet=not main)
        self._board = SummaryWriter(str(run.tensorboard), purge_step=start + 1) if main else None
        self._log = run.metrics_file.open("a") if main else None
        self._board_error: OSError | None = None
        self._clock = time.perf_counter()
        self._clock_step = self._step = start
        self._foretold = False  # how long it takes
        self._bar = Progress(
            _Doing(),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}  loss {task.fields[loss]}  {task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (main and self._console.is_terminal),
        )
        self._task = self._bar.add_task("training", total=total, completed=start, loss="-", speed="", since=None)

    def __enter__(self) -> Self:
        self._before, threading.excepthook = threading.excepthook, self._thread_failed
        self._bar.start()
        self._write_status("finished" if self._step >= self._total else "starting")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()
        state = "finished" if self._step >= self._total else "stopped"
        for close in (lambda: self._write_status(state), self._close_log, self._close_board):
            try:
                close()
            except (OSError, JaxgenError) as failure:  # the checkpoints matter more
                if error is None:
                    self.say(f"warning: {explain(failure)[0]}")
        threading.excepthook = self._before

    def _close_log(self) -> None:
        if self._log:
            self._log.close()

    def _close_board(self) -> None:
        if self._board and self._board_error is None:
            self._board.close()
        elif self._board:  # its thread is dead: neither closing nor the end of Python may wait for its queue
            self._board.file_writer.event_writer._event_queue.cancel_join_thread()

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """Keep the error of the thread that writes TensorBoard's file (it prints its traceback, and no more is
        written), for `_check_board`."""
        if isinstance(failure.exc_value, OSError):
            self._board_error = failure.exc_value
        else:
            self._before(failure)

    def _check_board(self) -> None:
        """Raise JaxgenError once TensorBoard's file cannot be written: its full queue would wait for ever."""
        if self._board_error is not None:
            raise JaxgenError(f"{self._run.tensorboard}: cannot be written: {self._board_error.strerror}")

    def say(self, line: str) -> None:
        """Print one line on the console."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def compiling(self, step: int) -> None:
        """Say that the steps after `step` are being compiled."""
        self.restart_clock(step)
        self._bar.update(self._task, description="compiling", since=self._clock)
        if not self._console.is_terminal:
            self.say("compiling")

    def compiled(self, step: int) -> None:
        """Say how long it took."""
        self._bar.update(self._task, description="training", since=None)
        self.say(f"compiled in {time.perf_counter() - self._clock:.1f} s")
        self.restart_clock(step)

    def restart_clock(self, step: int) -> None:
        """Exclude the time so far (compiling, sampling, saving) from the next images per second."""
        self._clock, self._clock_step = time.perf_counter(), step

    def steps(self, first: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Log metrics [K] of the steps first .. first + K - 1: every `log_every`-th and the last are written."""
        count = len(metrics["loss"])
        done = self._step = first + count - 1
        self._foretell(done)
        self._bar.update(self._task, completed=done, loss=f"{metrics['loss'][-1]:.4f}")
        due = [i for i in range(count) if (first + i) % self._every == 0 or first + i == self._total]
        if not due:
            return
        speed = self._speed(done)
        for i in due:
            values = {name: float(value[i]) for name, value in metrics.items()}
            self.scalars(first + i, values | {"images_per_second": speed})
        left = (self._total - done) * self._batch / max(speed, 1e-9)
        self._write_status("training", speed, left)
        if not self._console.is_terminal:
            # A compiled call sorts its outputs by name; the loss goes first.
            shown = ["loss", *(name for name in metrics if name not in ("loss", "lr") and "grad_norm" not in name)]
            values_text = "  ".join(f"{name} {metrics[name][-1]:.4f}" for name in shown)
            self.say(f"step {done}/{self._total}  {values_text}  {speed:,.0f} images/s  {duration(left)} left")

    def _foretell(self, done: int) -> None:
        """Say on a terminal, once and as soon as it is known, how long the run takes; a pipe hears it often."""
        seconds = time.perf_counter() - self._clock
        if self._foretold or seconds < 1 or not self._console.is_terminal:
            return
        self._foretold = True
        speed = (done - self._clock_step) * self._batch / seconds
        left = duration((self._total - done) * self._batch / max(speed, 1e-9))
        self.say(f"about {left} to go, at {speed:,.0f} images/s as measured in the first steps")

    def _write_status(self, state: Any, speed: float | None = None, left: float | None = None) -> None:
        if self._log:  # only in the first process
            status = Status(state=state, step=self._step, total=self._total, images_per_second=speed, seconds_left=left)
            write_status(self._run, status)

    def _speed(self, done: int) -> float:
        """Images per second since the last call, or since the clock was restarted."""
        now = time.perf_counter()
        speed = (done - self._clock_step) * self._batch / max(now - self._clock, 1e-9)
        self._clock, self._clock_step = now, done
        self._bar.update(self._task, speed=f"{speed:,.0f} images/s")
        return round(speed, 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write the scalars of a step to metrics.jsonl and TensorBoard."""
        if self._board and self._log:
            try:
                self._log.write(json.dumps({"step": step, **values}, allow_nan=False) + "\n")
                self._log.flush()
            except OSError as err:
                raise JaxgenError(f"{self._run.metrics_file}: cannot be written: {err.strerror}") from err
            self._check_board()
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Write grids [H, W, C] uint8 to samples/ and TensorBoard; the file of 'samples' is named by its step alone."""
        if self._board:
            self._check_board()
            for name, image in images.items():
                ending = "" if name == "samples" else f"-{name}"
                save_png(self._run.samples / f"{step:08d}{ending}.png", image, {})
                whole = np.broadcast_to(image, (*image.shape[:2], 3))
                self._board.add_image(name, whole, step, dataformats="HWC")


class _Doing(ProgressColumn):
    """What is being done, and while it compiles, the seconds that this has taken."""

    def render(self, task: Task) -> Text:
        since = task.fields["since"]
        return Text(task.description + ("" if since is None else f" {time.perf_counter() - since:.0f} s"))


@contextmanager
def _without_torch() -> Iterator[None]:
    """Hide PyTorch from an import: tensorboardX would load it, which takes seconds, for tensors that are not ours."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]
