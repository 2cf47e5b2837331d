"""What options and arguments take: numbers in words, seeds, paths, names out of tables; with what a shell completes."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from jaxgen.errors import UsageError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def _bounds(low: float | None, high: float | None, low_open: bool = False) -> str:
    """A range in words: '1 to 4,096', 'at least 1', 'above 0, at most 100'."""
    if low is not None and high is not None and not low_open:
        return f"{low:,} to {high:,}"
    words = [] if low is None else [f"{'above' if low_open else 'at least'} {low:,}"]
    return ", ".join([*words, *([] if high is None else [f"at most {high:,}"])])


class IntRange(click.IntRange):
    """As click's, with its bounds in words and a short name."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N"

    def _describe_range(self) -> str:
        return _bounds(self.min, self.max, self.min_open)


class FloatRange(click.FloatRange):
    """As click's, with its bounds in words and a short name."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "NUMBER"

    def _describe_range(self) -> str:
        return _bounds(self.min, self.max, self.min_open)


class Word(click.ParamType):
    """A seed or an index: a whole number below 2^32; is_random: or 'random', which chooses one and says which."""

    name = "N"

    def __init__(self, *, is_random: bool = False) -> None:
        self._is_random = is_random

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N|random" if self._is_random else "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if self._is_random and text == "random":
            number = secrets.randbelow(2**32)
            click.echo(f"seed {number}", err=True)
            return number
        if not (text.isdecimal() and len(text) <= 10 and int(text) < 2**32):
            more = ", or 'random'" if self._is_random else ""
            self.fail(f"{text[:60]!r} is no whole number from 0 to {2**32 - 1}{more}", param, ctx)
        return int(text)


SEED = Word()


class FilePath(click.Path):
    """The path of a file or a folder, as a `Path`; an address is none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        require_no_address(os.fsdecode(value))
        return super().convert(value, param, ctx)


PATH = FilePath()


def require_no_address(text: str) -> None:
    """Raise UsageError for an address on the network where a path is expected, which `Path` would squeeze to http:/"""
    if URL.match(text):
        raise UsageError(f"{text}: jaxgen reads files, and this is an address; download it first")


class OnnxPath(FilePath):
    """Where an ONNX file is written to: a name with another ending would mislead whoever finds it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        if path.suffix.lower() not in ("", ".onnx"):
            name = param.opts[0] if param else "it"
            raise UsageError(f"{name} takes FILE.onnx, got {str(path)!r}: what is written is an ONNX file")
        return path


ONNX = OnnxPath()


class ModelPath(FilePath):
    """The path of a model file or of a run folder, or the name of a model that comes with jaxgen."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from jaxgen.shipped import located

        return located(super().convert(value, param, ctx))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from jaxgen.shipped import models

        return names_or_files(models(), incomplete)


class ServedModel(click.ParamType):
    """What `jaxgen serve` serves: a file, a folder or a name, as it was typed."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        require_no_address(str(value))
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return ModelPath().shell_complete(ctx, param, incomplete)


def names_or_files(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """The names, and the model files in this folder, that begin so; if there is none, whatever files there are."""
    files = [str(path) for path in sorted(Path().glob("*.onnx"))]
    found = [CompletionItem(name) for name in (*names, *files) if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def completes(names: Callable[[], Iterable[str]]) -> Callable[..., list[str]]:
    """What `shell_complete` takes: those of the names that begin as what was typed; read when a shell asks for them."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete
