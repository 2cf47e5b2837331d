"""csv:PATH, a table of pixels, a row for each image, with a header or not: Kaggle's mnist_train.csv and its kind."""

from __future__ import annotations

import contextlib
import csv
import gzip
import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jaxgen.data.forms import tables
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.data.forms.tables import Part
from jaxgen.errors import JaxgenError, UsageError, lookup, one_line

LABELS = ("label", "labels", "class", "target", "y", "digit", "letter", "character", "category", "emotion")
NO_PIXELS = ("", "id", "index", "unnamed: 0", "imageid")  # names of columns that number the rows
PIXEL = re.compile(r"(pixel|px|p|x|v|column)?[ _]?\d+([x_]\d+)?", re.IGNORECASE)
NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*")


def opened(path: Path, options: Options) -> Opened:
    if not path.exists():
        raise UsageError(f"csv:{path}: there is no such file or folder")
    files = sorted(file for file in path.iterdir() if is_csv(file)) if path.is_dir() else [path]
    if not files:
        raise JaxgenError(f"{path}: no .csv here")
    parts = {}
    for split, several in tables.split_files(files, path).items():
        if len(several) > 1:
            raise UsageError(f"{path}: {several[0].name} and {several[1].name} are both for {split}; name one of them")
        parts[split] = _read(several[0], options)
    return tables.opened(parts, str(path), options)


def is_csv(path: Path) -> bool:
    return path.name.lower().endswith((".csv", ".csv.gz", ".tsv")) and path.is_file()


def _read(path: Path, options: Options) -> Part:
    rows, mark = _first_rows(path)
    header = not all(map(NUMBER.fullmatch, rows[0]))
    try:
        table = Table(path, mark, int(header), len(rows[0]))
        label, columns = _columns(table, [name.strip() for name in rows[0]] if header else None, options.labels)
        whole = not any(set(".eE") & set(cell) for cell in rows[-1])
        return Part(table.pixels(columns, whole), None if label is None else table.words(label))
    except (OSError, EOFError, ValueError) as err:
        raise JaxgenError(f"{path}: cannot be read as a table of pixels ({one_line(err)})") from err


class Table(NamedTuple):
    """A file of cells. mark: what divides them; skip: rows of header; width: columns."""

    path: Path
    mark: str
    skip: int
    width: int

    def pixels(self, columns: Sequence[int], whole: bool) -> np.ndarray:
        """[N, len(columns)]; whole: they look like integers."""
        if whole:
            with contextlib.suppress(ValueError), warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)  # of a fraction as an integer
                return self._load(np.int32, columns, 2)
        return self._load(np.float64, columns, 2)

    def words(self, column: int, most: int | None = None) -> np.ndarray:
        """The texts in a column, [N]; of the first `most` rows."""
        return np.char.strip(self._load(np.str_, [column], 1, most), " \"'")

    def _load(self, dtype: type, columns: Sequence[int], axes: Literal[1, 2], most: int | None = None) -> np.ndarray:
        return np.loadtxt(
            self.path, np.dtype(dtype), delimiter=self.mark, skiprows=self.skip, usecols=columns, ndmin=axes,
            max_rows=most, comments=None, encoding="utf-8-sig",
        )  # fmt: skip


def _columns(table: Table, names: list[str] | None, given: str) -> tuple[int | None, list[int]]:
    """The column of labels, None without one, and those of pixels. given: the name or number of the first, or 'none'.

    Raises UsageError if the others are not the pixels of a square.
    """
    numbered = [] if names is None else [place for place, name in enumerate(names) if name.lower() in NO_PIXELS]
    numbered = [] if len(numbered) > 2 else numbered  # a header of empty cells names nothing
    rest = [place for place in range(table.width) if place not in numbered]
    if given and given != "none":
        known = {name: place for place, name in enumerate(names or map(str, range(table.width)))}
        label: int | None = lookup(known, given, f"column of {table.path}")
    else:
        label = _label_by_name(names, rest) if names else None
        if label is None and not _square(len(rest)) and _square(len(rest) - 1):
            label = rest[0] if names else _first_or_last(table)
    pixels = [place for place in rest if place != label]
    if not _square(len(pixels)):
        raise UsageError(
            f"{table.path}: {len(pixels):,} columns are not the pixels of a square image; name the column of labels: "
            "data.labels=COLUMN"
        )
    return None if given == "none" else label, pixels


def _label_by_name(names: list[str], rest: list[int]) -> int | None:
    """The column that a header calls the label, or that is the only one which it calls anything but a pixel."""
    called = [place for place in rest if names[place].lower() in LABELS]
    others = [place for place in rest if not PIXEL.fullmatch(names[place])]
    told = [place for place in rest if names[place]]
    for found in (called, others, told):
        if len(found) == 1:
            return found[0]
    return None


def _first_or_last(table: Table) -> int:
    """The column of labels without a header: the first, unless that is as constant as a corner's pixel and the last is
    not."""
    first, last = (len(set(table.words(column, 1000).tolist())) for column in (0, table.width - 1))
    return table.width - 1 if first == 1 < last else 0


def _square(count: int) -> bool:
    return count > 1 and math.isqrt(count) ** 2 == count


def _first_rows(path: Path) -> tuple[list[list[str]], str]:
    """The first rows, and what divides their cells."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
            lines = [line for _, line in zip(range(2), stream, strict=False)]
    except (OSError, EOFError, UnicodeDecodeError) as err:
        raise JaxgenError(f"{path}: cannot be read as a table ({one_line(err)})") from err
    if not lines:
        raise JaxgenError(f"{path}: is empty")
    mark = max(",;\t", key=lines[0].count)
    return list(csv.reader(lines, delimiter=mark)), mark


FORM = Form(
    words="a table of pixels, a row for each image", open=opened, options=frozenset({"labels", "transpose", "white"})
)
