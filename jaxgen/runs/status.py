"""The status of a run: its progress, its sample sheets and its checkpoints."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from jaxgen import __version__
from jaxgen.config import Config
from jaxgen.errors import JaxgenError
from jaxgen.files import write_atomically
from jaxgen.runs.folder import SEAL, RunFolder
from jaxgen.runs.metrics import Curves

SHEET = re.compile(r"^(\d{8})(?:-(.+))?\.png$")  # step, and the kind of other sheets than samples


@dataclass(frozen=True, kw_only=True)
class Status:
    """The content of `status.json`, which a run rewrites as it trains.

    state: 'starting' until the first steps are done, including compilation; step: out of `total`; images_per_second and
    seconds_left: None until they are known.
    """

    state: Literal["starting", "training", "finished", "stopped"]
    step: int
    total: int
    images_per_second: float | None = None
    seconds_left: float | None = None

    @property
    def share(self) -> float:
        return min(self.step / self.total, 1.0) if self.total else 0.0

    @property
    def finished(self) -> bool:
        return 0 < self.total <= self.step


def write_status(run: RunFolder, status: Status) -> None:
    write_atomically(run.status_file, json.dumps(asdict(status)).encode())


def read_status(run: RunFolder, curves: Curves) -> Status:
    """The newest status of a run. Without a status file, it comes from the curves and the config, with total 0 if
    unknown."""
    step = max((steps[-1] for steps, _ in curves.values() if steps), default=0)
    try:
        values = json.loads(run.status_file.read_text())
        status = Status(**{field.name: values[field.name] for field in fields(Status)})
        return status if status.step >= step else Status(**{**asdict(status), "step": step})
    except (OSError, ValueError, KeyError, TypeError):
        config = config_of(run)
        return Status(state="stopped", step=step, total=config.training.steps if config else 0)


def config_of(run: RunFolder) -> Config | None:
    """The config of a run; None before it is written, or if it is broken."""
    try:
        return run.config(say=lambda line: None)
    except JaxgenError:
        return None


def sample_sheets(run: RunFolder, kind: str = "") -> dict[int, Path]:
    """The sheets of one kind by step, ascending; kind: '' for samples, 'reconstructions' or 'latents'."""
    matches = {path: SHEET.match(path.name) for path in sorted(run.samples.glob("*.png"))}
    return {int(match[1]): path for path, match in matches.items() if match and (match[2] or "") == kind}


def sheet_kinds(run: RunFolder) -> list[str]:
    """The kinds of a run's sheets, '' first."""
    matches = [SHEET.match(path.name) for path in run.samples.glob("*.png")]
    return sorted({match[2] or "" for match in matches if match})


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """step; score: its test loss, and fid, None if they were not measured; size: in bytes."""

    step: int
    score: float | None
    size: int
    fid: float | None = None


def saved_checkpoints(run: RunFolder) -> list[Checkpoint]:
    """The checkpoints of a run, by ascending step."""
    folders = [folder for folder in sorted(run.checkpoints.glob("[0-9]*")) if folder.name.isdigit()]
    return [
        Checkpoint(
            step=int(folder.name),
            score=_sealed(folder, "score"),
            fid=_sealed(folder, "fid"),
            size=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        )
        for folder in folders
    ]


def newest_checkpoint_hash(run: RunFolder) -> str:
    """64 hex digits that change with the newest checkpoint of a run and whatever else its model file holds.

    That is the config, the class names and colours, its sources and this version of jaxgen. Raises JaxgenError if there
    is no checkpoint.
    """
    seals = sorted(run.checkpoints.glob(f"[0-9]*/{SEAL}"), key=lambda seal: (len(seal.parent.name), seal.parent.name))
    if not seals:
        raise JaxgenError(f"{run.path}: no checkpoint yet; train it first: jaxgen train --resume {run.path}")
    names = json.dumps([__version__, run.classes(), run.palette(), run.imported(), run.teacher_record()])
    content = b"\0".join([seals[-1].read_bytes(), run.config_file.read_bytes(), names.encode()])
    return hashlib.sha256(content).hexdigest()


def _sealed(folder: Path, name: str) -> float | None:
    try:
        score = json.loads((folder / SEAL).read_text())[name]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return score if isinstance(score, float) else None


def last_written(run: RunFolder) -> float:
    """The time of a run's last metrics, or else of its config, in seconds since 1970."""
    times = [file.stat().st_mtime for file in (run.metrics_file, run.config_file) if file.exists()]
    return max(times, default=0.0)


def runs_in(folder: Path) -> list[RunFolder]:
    """The runs of a folder, the newest first."""
    runs = [RunFolder(path.parent) for path in folder.glob("*/config.toml")]
    return sorted(runs, key=last_written, reverse=True)


def duration(seconds: float) -> str:
    """A duration in words."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
