"""What a run has done so far, read from its folder: curves, pictures, checkpoints."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from jaxgen import config as configs, data
from jaxgen.config import Config
from jaxgen.errors import JaxgenError
from jaxgen.plots import Curves

PACE = re.compile(r"^step \d+/.*?([\d,]+) images/s  (.+ left)$", re.MULTILINE)
TOTALS = [  # lines that say how many steps a run has; the first one of a long log is not read
    re.compile(r"^(?:training|going on at step \d+): .* ([\d,]+) steps, on ", re.MULTILINE),
    re.compile(r"^step \d+/(\d+) ", re.MULTILINE),
    re.compile(r"is finished: step \d+ of (\d+)"),
]
WRITTEN = ("metrics.jsonl", "config.toml")
SAMPLE = re.compile(r"^(\d{8})(?:-(.+))?\.png$")


@dataclass
class Tail:
    """The curves of a metrics.jsonl that grows: each `read` reads what is new in it."""

    path: Path
    _curves: Curves = field(default_factory=lambda: defaultdict(lambda: ([], [])))
    _offset: int = 0
    _inode: int = 0

    def read(self) -> Curves:
        """name -> (steps, values), empty if there is nothing yet."""
        try:
            with self.path.open("rb") as file:
                about = os.fstat(file.fileno())
                if about.st_ino != self._inode or about.st_size < self._offset:  # a resumed run has rewritten it
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
            row = dict(json.loads(line))
            step = int(row.pop("step"))
            numbers = {name: float(value) for name, value in row.items()}
        except (ValueError, TypeError, KeyError):
            return  # a crash cut it short
        for name, value in numbers.items():
            self._curves[name][0].append(step)
            self._curves[name][1].append(value)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """step; score: the test loss that it was saved with, None if it was not measured; size: in bytes."""

    step: int
    score: float | None
    size: int


@dataclass(frozen=True)
class Run:
    """A run's folder, as its files tell of it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def export(self) -> Path:
        """Where the dashboard exports it to."""
        return self.path / "model.onnx"

    def exists(self) -> bool:
        return (self.path / "config.toml").is_file()

    def config(self) -> Config | None:
        """None before the run has written it, or if it is broken."""
        try:
            return configs.load(self.path / "config.toml") if self.exists() else None
        except JaxgenError:
            return None

    @property
    def changed(self) -> float:
        """When it last wrote something down, in seconds since 1970."""
        times = [file.stat().st_mtime for name in WRITTEN if (file := self.path / name).exists()]
        return max(times, default=0.0)

    def samples(self, kind: str = "") -> dict[int, Path]:
        """The sheets of a kind by step: '' for what it draws, 'reconstructions', 'latents'."""
        found = {}
        for path in sorted((self.path / "samples").glob("*.png")):
            match = SAMPLE.match(path.name)
            if match and (match[2] or "") == kind:
                found[int(match[1])] = path
        return found

    def kinds(self) -> list[str]:
        """The kinds of sheets that there are; '' first."""
        names = [SAMPLE.match(path.name) for path in (self.path / "samples").glob("*.png")]
        return sorted({match[2] or "" for match in names if match})

    def checkpoints(self) -> list[Checkpoint]:
        """Ascending."""
        found = []
        for folder in sorted((self.path / "checkpoints").glob("[0-9]*")):
            if folder.name.isdigit():
                size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                found.append(Checkpoint(step=int(folder.name), score=_score(folder), size=size))
        return found


@dataclass(frozen=True, kw_only=True)
class Progress:
    """step of total (0: not known yet), and in words how fast it is and how long it will take."""

    step: int
    total: int
    loss: float | None
    speed: str
    left: str

    @property
    def share(self) -> float:
        return min(self.step / self.total, 1.0) if self.total else 0.0

    @property
    def finished(self) -> bool:
        return 0 < self.total <= self.step


def progress(config: Config | None, curves: Curves, log: str) -> Progress:
    """How far a run is, from its curves, and from its log what these do not tell."""
    lines = PACE.findall(log)
    speed, left = lines[-1] if lines else ("", "")
    _, losses = curves.get("loss", ([], []))
    return Progress(
        step=max((steps[-1] for steps, _ in curves.values() if steps), default=0),
        total=_total(config, log),
        loss=losses[-1] if losses else None,
        speed=speed and f"{speed} images/s",
        left=left,
    )


def runs_in(folder: Path) -> list[Run]:
    """The runs of a folder, the newest first."""
    found = [Run(path.parent) for path in folder.glob("*/config.toml")]
    return sorted(found, key=lambda run: run.changed, reverse=True)


def _total(config: Config | None, log: str) -> int:
    """Steps of the whole run, 0 if that is not certain: from its config, if it counts in steps or in epochs of a set
    whose size is known, else from its log."""
    if config and (steps := config.training.steps or config.training.epochs * _steps_per_epoch(config)):
        return steps
    said = (words[-1] for total in TOTALS if (words := total.findall(log)))
    return next((int(number.replace(",", "")) for number in said), 0)


def _steps_per_epoch(config: Config) -> int:
    """Whole batches of the training split; 0 where its size is not known without reading it."""
    return 0 if config.data.without else _training_pictures(config.data.dataset) // config.training.batch_size


@cache
def _training_pictures(dataset: str) -> int:
    """0 but for the sets that jaxgen knows itself: a folder's may change, and TFDS takes seconds to say."""
    if dataset not in data.names():
        return 0
    try:
        return data.info(dataset).splits["train"]
    except JaxgenError:  # what lies on this machine under its name is damaged: that is for a training to say
        return 0


def _score(folder: Path) -> float | None:
    try:
        score = json.loads((folder / "jaxgen.json").read_text())["score"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return score if isinstance(score, float) else None
