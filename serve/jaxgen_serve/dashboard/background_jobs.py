"""Start, find and stop jaxgen commands as separate processes, which outlive the process that started them.

A job holds a lock on its log while it runs: the log is its output, and a lock belongs to the open file that a process
inherits. So the check for a running job does not depend on its process id, which the system may reuse.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from jaxgen.errors import JaxgenError, UsageError, one_line
from jaxgen.files import write_atomically

FOLDER = ".dashboard"  # in the folder of runs: a run's own folder must be empty when it starts
MAX_LOG = 2**16  # bytes read from the end of a log
PATIENCE = 1.0  # seconds to wait for a lock that a reader may hold briefly


@dataclass(frozen=True, kw_only=True)
class BackgroundJob:
    """A started command: its process, its start time, and whether it has been asked to stop."""

    name: str
    pid: int
    started: float  # seconds since 1970
    command: tuple[str, ...]
    stopping: bool = False


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What trains a run: a job of the dashboard, or a process that was started elsewhere, such as in a terminal;
    stopping: whether the job has been asked to stop."""

    here: bool
    elsewhere: bool
    stopping: bool

    @property
    def going_on(self) -> bool:
        return self.here or self.elsewhere


@dataclass(frozen=True)
class Jobs:
    """The jobs of a folder of runs, by name."""

    runs: Path

    def start(self, name: str, arguments: Sequence[str]) -> BackgroundJob:
        """Start `jaxgen ARGUMENTS` in the background, in a new session.

        Raises UsageError for a name that fits no file, or if a job of this name is running.
        """
        if sys.platform == "win32":
            raise UsageError("the dashboard starts no processes on Windows; run it in WSL, or train from a terminal")
        if not name or name.startswith(".") or "/" in name or not name.isprintable() or len(name) > 100:
            raise UsageError(f"a run's name must be 1 to 100 characters, fit for a folder, got {name!r}")
        command = (sys.executable, "-m", "jaxgen", *arguments)
        try:
            (self.runs / FOLDER).mkdir(parents=True, exist_ok=True)
            log = os.open(self._log(name), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as err:
            raise JaxgenError(f"{self.runs.name}: cannot be written: {err.strerror}") from err
        try:
            if not _lock(log, PATIENCE):
                raise UsageError(f"{name} is running already; stop it first, or choose another name")
            os.ftruncate(log, 0)
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
            threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
            job = BackgroundJob(name=name, pid=process.pid, started=time.time(), command=command)
            self._write(job)
        finally:
            os.close(log)  # the process has its own copy
        return job

    def find(self, name: str) -> BackgroundJob | None:
        """The newest job of this name, running or not; None if there never was one."""
        try:
            record = json.loads(self._record(name).read_text())
            return BackgroundJob(**{**record, "command": tuple(record["command"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def running(self, name: str) -> bool:
        """Whether a job of this name is alive."""
        return self._log(name).exists() and is_locked(self._log(name))

    def activity(self, name: str) -> Activity:
        """What trains a run now."""
        here, job = self.running(name), self.find(name)
        return Activity(
            here=here,
            elsewhere=not here and is_locked(self.runs / name),
            stopping=here and job is not None and job.stopping,
        )

    def names(self) -> list[str]:
        """The names of all started jobs, alphabetically."""
        return sorted(path.name.removesuffix(".json") for path in (self.runs / FOLDER).glob("*.json"))

    def stop(self, name: str) -> None:
        """Ask a job to save and end. It is asked only once: a second signal would end it without saving.

        Raises UsageError if none is running, or if the process with its number is not the one that was started.
        """
        job = self.find(name)
        if job is None or not self.running(name):
            raise UsageError(f"{name} is not running")
        if job.stopping:
            return
        if command_of(job.pid) != job.command:
            raise UsageError(f"{name}: process {job.pid} is not the one that was started; stop it where it was")
        self._write(replace(job, stopping=True))
        with suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(job.pid, signal.SIGTERM)

    def log(self, name: str, *, since: float = 0.0) -> str:
        """The last 64 KB of a job's output; '' if there is none, or none since a time in seconds since 1970."""
        try:
            with self._log(name).open("rb") as file:
                if os.fstat(file.fileno()).st_mtime < since:
                    return ""
                file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_LOG))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def _log(self, name: str) -> Path:
        return self.runs / FOLDER / f"{name}.log"

    def _record(self, name: str) -> Path:
        return self.runs / FOLDER / f"{name}.json"

    def _write(self, job: BackgroundJob) -> None:
        write_atomically(self._record(job.name), json.dumps(asdict(job)).encode())


def run(arguments: Sequence[str], *, deadline: float) -> str:
    """Run `jaxgen ARGUMENTS` and return its standard output. Raises JaxgenError with the command's error line if it
    fails, or after `deadline` seconds."""
    command = [sys.executable, "-m", "jaxgen", *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline, check=False
        )
    except subprocess.TimeoutExpired as err:
        raise JaxgenError(f"'jaxgen {arguments[0]}' was stopped after {deadline:.0f} seconds") from err
    if done.returncode < 0:
        raise JaxgenError(f"'jaxgen {arguments[0]}' crashed: {signal.strsignal(-done.returncode)}")
    if done.returncode:
        raise JaxgenError(complaint(done.stderr) or f"'jaxgen {arguments[0]}' ended with {done.returncode}")
    return done.stdout


def complaint(log: str) -> str:
    """The error line of a command's output, without "jaxgen: "; '' if there is none."""
    lines = [line for line in log.splitlines() if line.startswith("jaxgen: ")]
    return lines[-1].removeprefix("jaxgen: ").strip() if lines else ""


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file or folder: a job's log, or a run that is being trained."""
    if sys.platform == "win32":
        return False
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(handle, 0, shared=True)
    finally:
        os.close(handle)


def command_of(pid: int) -> tuple[str, ...] | None:
    """The command line of a process, None if there is none with this id, or it has ended."""
    try:
        return tuple(psutil.Process(pid).cmdline()) or None
    except psutil.Error:
        return None


def _lock(handle: int, patience: float, shared: bool = False) -> bool:
    """Try for `patience` seconds to lock an open file; returns whether it is locked."""
    import fcntl  # not on Windows

    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)
        except OSError as err:
            raise JaxgenError(f"no locks on this file system ({one_line(err)}); put the runs elsewhere") from err
