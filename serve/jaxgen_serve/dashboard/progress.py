"""What a run has done so far, read from its folder: curves, pictures, checkpoints."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from jaxgen import config as configs
from jaxgen.config import Config
from jaxgen.curves import Curves
from jaxgen.errors import JaxgenError

HEADLINE = re.compile(r"^(?:training|going on at step \d+): .* ([\d,]+) steps, on ", re.MULTILINE)
STEP = re.compile(r"^step (\d+)/(\d+) .*?([\d,]+) images/s  (.+ left)$", re.MULTILINE)
FINISHED = re.compile(r"is finished: step \d+ of (\d+)")
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
    lines = STEP.findall(log)
    logged, _, speed, left = lines[-1] if lines else (0, 0, "", "")
    _, losses = curves.get("loss", ([], []))
    step = max([int(logged), *(numbers[-1] for numbers, _ in curves.values() if numbers)])
    return Progress(
        step=step, total=_total(config, log), loss=losses[-1] if losses else None, speed=speed and f"{speed} images/s",
        left=left,
    )  # fmt: skip


def runs_in(folder: Path) -> list[Run]:
    """The runs of a folder, the newest first."""
    found = [Run(path.parent) for path in folder.glob("*/config.toml")]
    return sorted(found, key=lambda run: _changed(run.path), reverse=True)


def _total(config: Config | None, log: str) -> int:
    """Steps of the whole run. The config knows if it counts in steps; of epochs only the log says how many they are."""
    for pattern in (FINISHED, HEADLINE):
        if found := pattern.findall(log):
            return int(found[-1].replace(",", ""))
    return config.training.steps if config else 0


def _changed(folder: Path) -> float:
    """When a run last wrote something down."""
    times = [path.stat().st_mtime for path in (folder / "metrics.jsonl", folder / "config.toml") if path.exists()]
    return max(times, default=0.0)


def _score(folder: Path) -> float | None:
    try:
        score = json.loads((folder / "jaxgen.json").read_text())["score"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return score if isinstance(score, float) else None
