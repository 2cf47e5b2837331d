"""What a form of data is: how it is opened, with which options, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from jaxgen.data.dataset import Dataset, Images
from jaxgen.errors import UsageError, nearest

LOOSE = ("refuse", "ignore")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is said of data beside their path, as FORM:PATH?images=KEY&labels=KEY, or by `data.images` and the like.

    images, labels: the keys or columns that hold them, or the file of labels, where the form cannot tell; labels=none:
    there are none. transpose: rows and columns of each image are swapped. white: the value of a white pixel where it is
    not 255, 0: by the file. loose: what to do with images beside class folders. tile: height and width of a sheet's.
    """

    images: str = ""
    labels: str = ""
    transpose: bool = False
    white: float = 0
    loose: str = "refuse"
    tile: tuple[int, int] | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str], name: str, known: frozenset[str]) -> Self:
        """The options of a query. Raises UsageError on others than the `known`, and on values that they cannot have."""
        for key in query:
            if key not in known:
                choices = ", ".join(sorted(known)) or "none"
                raise UsageError(f"{name}: unknown option {key!r}{nearest(key, known)}; it takes {choices}")
        try:
            return cls(**{key: PARSERS[key](value) for key, value in query.items()})
        except ValueError as err:
            raise UsageError(f"{name}: {err}") from err


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"transpose is true or false, got {text!r}")
    return text.lower() == "true"


def _white(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ValueError(f"white is the value of a white pixel, above 0, got {text!r}")
    return value


def _loose(text: str) -> str:
    if text not in LOOSE:
        raise ValueError(f"loose is {' or '.join(LOOSE)}, got {text!r}")
    return text


def _tile(text: str) -> tuple[int, int]:
    """'24x32' as width x height, as image programs write it: (32, 24)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= 4096 and 0 < int(height) <= 4096):
        raise ValueError(f"tile is WIDTHxHEIGHT in pixels, such as 24x24, got {text!r}")
    return int(height), int(width)


PARSERS: dict[str, Callable[[str], Any]] = {
    "images": str, "labels": str, "transpose": _boolean, "white": _white, "loose": _loose, "tile": _tile,
}  # fmt: skip
assert set(PARSERS) == {each.name for each in fields(Options)}


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Data as they were found. splits: the images of each, with their labels; classes: the names, () without labels;
    passed_over: what lies there and is not among the images, by name, with the reason."""

    splits: Mapping[str, Dataset | Images]
    classes: tuple[str, ...] = ()
    passed_over: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Form:
    """words: what it is, in a list of forms; open: raises UsageError for a path that is not there, JaxgenError for what
    it cannot read; options: those of `Options` that it takes."""

    words: str
    open: Callable[[Path, Options], Opened]
    options: frozenset[str] = frozenset()
