"""Reading the curves of a run from its metrics.jsonl."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxgen.errors import UsageError

RENAMED = {"drawn_as_asked": "label_accuracy"}  # the metrics of earlier runs: old name -> new name
Curves = dict[str, tuple[list[int], list[float]]]  # name -> steps, values


def read_curves(metrics: Path) -> Curves:
    """All metrics of a run, by name. Raises UsageError if there are none."""
    try:
        metrics.stat()
    except OSError as err:
        raise UsageError(f"{metrics.parent}: no run to plot ({metrics.name}: {err.strerror})") from err
    curves = Tail(metrics).read()
    if not curves:
        raise UsageError(f"{metrics.parent}: nothing to plot yet: {metrics.name} is empty")
    return curves


@dataclass
class Tail:
    """The curves of a growing metrics.jsonl: each `read` reads only the new lines."""

    path: Path
    _curves: Curves = field(default_factory=lambda: defaultdict(lambda: ([], [])))
    _offset: int = 0
    _inode: int = 0

    def read(self) -> Curves:
        """name -> (steps, values), empty if there is nothing yet."""
        try:
            with self.path.open("rb") as file:
                about = os.fstat(file.fileno())
                if about.st_ino != self._inode or about.st_size < self._offset:  # rewritten by a resumed run
                    self._inode, self._offset = about.st_ino, 0
                    self._curves.clear()
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return {}
        whole = new[: new.rfind(b"\n") + 1]  # the last line may be half written
        self._offset += len(whole)
        for line in whole.splitlines():
            self._add(line)
        return dict(self._curves)

    def _add(self, line: bytes) -> None:
        try:
            row: dict[str, Any] = dict(json.loads(line))
            step = int(row.pop("step"))
            numbers = {RENAMED.get(name, name): float(value) for name, value in row.items()}
        except (ValueError, TypeError, KeyError):
            return  # a truncated line
        for name, value in numbers.items():
            self._curves[name][0].append(step)
            self._curves[name][1].append(value)
