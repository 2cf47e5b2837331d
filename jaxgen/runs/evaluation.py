"""evaluation.json of a run folder: how the run is evaluated while it trains, on which its scores depend."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from jaxgen.errors import UsageError
from jaxgen.files import write_atomically
from jaxgen.runs.folder import RunFolder

COUNT = 1000  # images of an evaluation


class EvaluationRequest(NamedTuple):
    """What a command asks for; None: as before, or the default. The fields are those of `Evaluation`."""

    every: int | None = None
    count: int | None = None  # type: ignore[assignment]
    extractor: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """every: steps between evaluations, 0 for none; count: generated images; extractor: its file, None for the one that
    comes with jaxgen; sha256: the extractor's hash, '' if it is not known yet."""

    every: int
    count: int = COUNT
    extractor: Path | None = None
    sha256: str = ""


def _file(run: RunFolder) -> Path:
    return run.path / "evaluation.json"


def read_evaluation(run: RunFolder) -> Evaluation | None:
    """How the run was evaluated; None if it never was, or if the file is broken."""
    try:
        values = json.loads(_file(run).read_text())
        extractor = values["extractor"]
        return Evaluation(
            every=int(values["every"]), count=int(values["count"]), sha256=str(values["sha256"]),
            extractor=None if extractor is None else Path(extractor),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_evaluation(run: RunFolder, evaluation: Evaluation | None) -> None:
    """Record how the run is evaluated; None: remove the record. Raises JaxgenError if it cannot be written."""
    if evaluation is None:
        _file(run).unlink(missing_ok=True)
        return
    path = evaluation.extractor and str(evaluation.extractor.absolute())
    write_atomically(_file(run), json.dumps(asdict(evaluation) | {"extractor": path}, indent=2).encode())


def agreed(asked: EvaluationRequest, run: RunFolder, *, resume: bool) -> Evaluation | None:
    """The evaluation of a run from now on; None if it neither is nor was evaluated.

    resume: what is not asked for stays as it was; otherwise only the extractor and the number of images do, and only if
    the run has a checkpoint. Raises UsageError if another number of images is asked for than before, or details of an
    evaluation that is off.
    """
    before = read_evaluation(run) if resume or run.checkpoints.is_dir() else None
    every = asked.every
    if every is None:
        every = before.every if resume and before else 0
    if not every and (asked.count or asked.extractor):
        raise UsageError("--eval-count and --extractor belong to --eval-every, which is not given")
    if before is None:
        return Evaluation(every=every, count=asked.count or COUNT, extractor=asked.extractor) if every else None
    if asked.count not in (None, before.count):
        raise UsageError(
            f"--eval-count: {run.path} was scored with {before.count} images, and scores with {asked.count} are not "
            "comparable; start a new run"
        )
    return Evaluation(
        every=every, count=before.count, extractor=asked.extractor or before.extractor, sha256=before.sha256
    )
