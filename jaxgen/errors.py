"""Errors with one-line messages and exit codes."""

from __future__ import annotations

import difflib
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


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """table[name]; raises UsageError with the choices and the nearest one if it is missing."""
    if name not in table:
        raise UsageError(f"unknown {what} {name!r}{nearest(name, table)}; choose from {', '.join(sorted(table))}")
    return table[name]


def nearest(name: str, choices: Iterable[str]) -> str:
    """' (did you mean X?)' for the choice nearest to `name`, or '' if none is close."""
    close = difflib.get_close_matches(name, list(choices), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn a failed import inside the block into a MissingExtra that says how to install the extra."""
    try:
        yield
    except ModuleNotFoundError as err:
        if (err.name or "").split(".")[0] in {"jaxgen", ""}:
            raise
        raise MissingExtra(f"this needs {err.name}, which is not installed; {installing(name)}") from err


def installing(extra_name: str) -> str:
    """How to install an extra: from a clone, since jaxgen is on no package index yet."""
    return f"in a clone of jaxgen, run: pip install -e '.[{extra_name}]'"
