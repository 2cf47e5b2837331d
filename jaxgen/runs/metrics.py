"""The curves of a run, read from its metrics.jsonl."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from jaxgen.plots import Curves
from jaxgen.errors import UsageError

def read_curves(metrics: Path) -> Curves:
    """Every number that a run has written down, by name. Raises UsageError if there is none."""
    found: Curves = defaultdict(lambda: ([], []))
    try:
        lines = metrics.read_text().splitlines()
    except OSError as err:
        raise UsageError(f"{metrics.parent}: no run to plot ({metrics.name}: {err.strerror})") from err
    for line in lines:
        try:
            row = dict(json.loads(line))
            step = int(row.pop("step"))
        except (ValueError, TypeError, KeyError):
            continue  # a crash cut it short
        for name, value in row.items():
            found[name][0].append(step)
            found[name][1].append(float(value))
    if not found:
        raise UsageError(f"{metrics.parent}: nothing to plot yet: {metrics.name} is empty")
    return dict(found)
