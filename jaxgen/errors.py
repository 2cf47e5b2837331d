"""Errors with one-line messages and exit codes."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class JaxgenError(Exception):
    """A bad model, file or dataset; the message says what is wrong, what was expected and what to do next."""

    exit_code = 3


class UsageError(JaxgenError):
    """An invalid request, such as an unknown name or a value out of range."""

    exit_code = 2


class MissingExtra(JaxgenError):
    """An optional part of jaxgen is not installed."""

    exit_code = 4


class Interrupted(JaxgenError):
    """Stopped by a signal, after saving; the exit code is 128 + the signal."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def one_line(err: BaseException, limit: int = 200) -> str:
    """The message of a foreign exception as one line of at most `limit` characters; its type if it has none."""
    return " ".join(str(err).split())[:limit] or type(err).__name__


def explain(err: BaseException) -> tuple[str, int]:
    """The message of a failure in one line, and its exit code."""
    if isinstance(err, JaxgenError):
        return str(err), err.exit_code
    if fault := disk_fault(err):
        return fault, 3
    if isinstance(err, OSError):
        return f"{err.filename or ''}: {err.strerror or one_line(err)}".lstrip(": "), 3
    if isinstance(err, MemoryError) or "RESOURCE_EXHAUSTED" in str(err):  # XLA's status
        return "out of memory; use smaller batches", 3
    return f"internal error: {type(err).__name__}: {one_line(err)}; 'jaxgen --debug ...' shows where", 1


# What a disk says that is full, broken, over its quota, read-only or gone.
_DISK_FAULTS = (errno.ENOSPC, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EROFS)


def disk_fault(err: BaseException) -> str | None:
    """'FILE: No space left on device' if an error, or one that led to it, is the disk's; None for others.

    Libraries hand on the system's words without its number or file, so their messages are searched for them.
    """
    chain: list[BaseException] = []
    following: BaseException | None = err
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    for each in reversed(chain):
        gone = each is err and isinstance(each, FileNotFoundError)  # as on a mount that vanished
        if isinstance(each, OSError) and each.strerror and (gone or each.errno in _DISK_FAULTS):
            return f"{each.filename}: {each.strerror}" if each.filename else each.strerror
    words = [os.strerror(number) for number in _DISK_FAULTS]
    return next((word for each in chain for word in words if word in str(each)), None)


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """table[name]; raises UsageError with the choices and the nearest one if it is missing."""
    if name not in table:
        raise UsageError(f"unknown {what} {name!r}{nearest(name, table)}; choose from {', '.join(sorted(table))}")
    return table[name]


def nearest(name: str, choices: Iterable[str]) -> str:
    """' (did you mean X?)' for the choice nearest to `name`, or '' if none is close, as none is to a number."""
    if name.isdecimal():
        return ""
    close = difflib.get_close_matches(name, list(choices), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def install(extra: str) -> str:
    """The command that installs an extra. jaxgen is on no package index, so it is run where jaxgen was cloned to."""
    return f"run in the folder of jaxgen: pip install -c constraints.txt -e '.[{extra}]'"


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn a failed import inside the block into a MissingExtra that says what to run."""
    try:
        yield
    except ModuleNotFoundError as err:
        if (err.name or "").split(".")[0] in {"jaxgen", ""}:
            raise
        raise MissingExtra(f"this needs {err.name}, which is not installed; {install(name)}") from err
