"""Earlier reports, as `jaxgen eval --json` printed them, that new ones are compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import read_bytes

MAX_BYTES = 2**24
# Two scores are comparable if all of these are the same; what each is called, and what to do where it differs.
SAME = {
    "extractor": ("the extractor", "give the file of that hash by --extractor"),
    "dataset": ("the dataset", "score both on one"),
    "data": ("the hash of the dataset's images", "score both on the same data"),
    "n": ("the number of images", "give -n"),
    "real": ("the number of real images", "score both on the same data"),
}


def read(path: Path) -> dict[str, Any]:
    """The report of one evaluation. Raises JaxgenError for anything else."""
    try:
        report = json.loads(read_bytes(path, MAX_BYTES))
    except ValueError as err:
        raise JaxgenError(f"{path}: is no report of 'jaxgen eval --json': it is not JSON") from err
    several = isinstance(report, dict) and "reports" in report
    if several or not isinstance(report, dict) or not isinstance(report.get("scores"), dict):
        kind = "it is of several --steps" if several else "it has no scores"
        raise JaxgenError(f"{path}: is no report of one evaluation by 'jaxgen eval --json': {kind}")
    return report


def require_comparable(path: Path, earlier: Mapping[str, Any], **now: Any) -> None:
    """Raise UsageError if scores of now are not comparable with an earlier report's: `now` holds some of SAME."""
    for key, value in now.items():
        what, action = SAME[key]
        if key in earlier and earlier[key] != value:
            before, after = (each[:12] if isinstance(each, str) else each for each in (earlier[key], value))
            raise UsageError(f"{path}: {what} was {before}, and is {after} now, so that scores differ; {action}")


def value(earlier: Mapping[str, Any], name: str) -> float | None:
    """The earlier value of a score, if it was measured."""
    score = earlier["scores"].get(name)
    found = score.get("value") if isinstance(score, dict) else None
    return float(found) if isinstance(found, int | float) else None
