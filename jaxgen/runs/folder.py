"""A run folder: config.toml, environment.json, status.json, metrics.jsonl, checkpoints/, samples/, tensorboard/."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from jaxgen import config as configs
from jaxgen.config import FAMILIES, Config
from jaxgen.config.common import Resumable
from jaxgen.config.renames import Say, to_stderr
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import write_atomically
from jaxgen.runs import sessions

SEAL = "jaxgen.json"  # of a checkpoint: {"step", "score", "files": {relative path: sha256}}, and "fid" if measured


def may_change(key: str) -> bool:
    """Whether a resumed run may change this key of its config.

    Keys that determine the data, or the shapes of the weights or of the optimiser's state in checkpoints, are fixed.
    """
    section, _, name = key.partition(".")
    kinds = [get_type_hints(family).get(section) for family in FAMILIES.values()]
    sections = [kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)]
    found = [(kind, field) for kind in sections for field in fields(kind) if field.name == name]
    return any(field.metadata.get("resumable", issubclass(kind, Resumable)) for kind, field in found)


@dataclass(frozen=True)
class RunFolder:
    """The paths and records of a run; only `locked` and `write` create files."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.toml"

    @property
    def environment_file(self) -> Path:
        return self.path / "environment.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    def exists(self) -> bool:
        return self.config_file.is_file()

    def config(self, say: Say = to_stderr) -> Config:
        """The config of the run. say: receives a line for each key that was read by an old name.

        Raises UsageError if this is not a run folder, or if its config has a key that is unknown in all versions.
        """
        if not self.exists():
            raise UsageError(f"{self.path}: not a run folder (no config.toml); 'jaxgen train' makes one")
        return configs.load(self.config_file, renames=say)

    def data_dir(self) -> Path | None:
        """The folder of its data, if one was given."""
        return self._path("data_dir")

    def classifier(self) -> Path | None:
        """The run of its classifier, if one was given."""
        return self._path("classifier")

    def teacher(self) -> Path | None:
        """The run of its teacher, if one was given."""
        return self._path("teacher")

    def imported(self) -> dict[str, str]:
        """The source of imported weights: {"file": its name, "sha256": 64 hex digits}; {} if they were not imported."""
        source = self._environment().get("imported")
        return dict(source) if isinstance(source, dict) else {}

    def teacher_record(self) -> dict[str, Any]:
        """What the run learned from: {"name": of the teacher's config, "sha256": of its weights, "steps": that it was
        trained}; {} without a teacher."""
        record = self._environment().get("taught_by")
        return dict(record) if isinstance(record, dict) else {}

    def data_record(self) -> object:
        """What its training images are known by, as `jaxgen.data.identity.Identity.to_dict` gives it; None if an
        earlier version did not record it."""
        return self._environment().get("data")

    def machine(self) -> dict[str, Any]:
        """The machine of its newest session, with the keys of `sessions.MACHINE` that were recorded."""
        return sessions.latest(self._environment())

    def progress(self, batch_size: int) -> sessions.Progress:
        """How many images its steps had; batch_size: for a run of an earlier version, which did not record it."""
        return sessions.Progress.of(self._environment(), batch_size)

    def _path(self, key: str) -> Path | None:
        named = self._environment().get(key)
        return Path(named) if isinstance(named, str) else None

    def classes(self) -> tuple[str, ...]:
        """The class names of its data at the time of training."""
        return tuple(map(str, self._environment().get("classes", ())))

    def palette(self) -> tuple[str, ...]:
        """The colours of its data as '#rrggbb', if they are few; () too for a run that did not record them."""
        return tuple(map(str, self._environment().get("palette", ())))

    def _environment(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.environment_file.read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    def check(self, config: Config) -> None:
        """Raise UsageError if the folder holds a run with another config, or something else.

        A run without a checkpoint may be replaced by any config.
        """
        if self.exists():
            changed = configs.differences(self.config(say=lambda line: None), config)
            if changed and self.checkpoints.is_dir():
                key, (old, new) = next(iter(changed.items()))
                change = f" --set {key}={new}" if may_change(key) else ""
                command = f"jaxgen train --resume {shlex.quote(str(self.path))}{change}"
                raise UsageError(
                    f"{self.path} holds a run with {key} = {old}, not {new}; "
                    f"choose another --out, or go on with it: {command}"
                )
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UsageError(f"{self.path} is not empty and not a run folder; choose another --out")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and lock it against other training processes until the block (or the process) ends.

        Raises JaxgenError if it cannot be created, or if another process has locked it.
        """
        new = not self.path.exists()
        if sys.platform == "win32":  # Windows cannot open folders
            self.path.mkdir(parents=True, exist_ok=True)
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDONLY)  # the folder itself, so that no lock file remains
        except OSError as err:
            raise JaxgenError(f"{self.path}: cannot be made: {err.strerror}; choose another place") from err
        try:
            _lock(handle, self.path)
            yield
        finally:
            os.close(handle)
            if new:
                with suppress(OSError):
                    self.path.rmdir()  # succeeds if it is still empty: the run was refused, or stopped at its start

    def is_free(self) -> bool:
        """Whether it is certain that no process trains here."""
        if sys.platform == "win32":
            return False
        import fcntl

        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        except OSError:
            return False
        finally:
            os.close(handle)

    def write(
        self, config: Config, data_dir: Path | None, classes: Sequence[str] = (), classifier: Path | None = None,
        teacher: Path | None = None, imported: Mapping[str, str] | None = None,
        machine: Mapping[str, Any] | None = None, teacher_record: Mapping[str, Any] | None = None,
        palette: Sequence[str] = (), data_record: Mapping[str, Any] | None = None, step: int = 0,
    ) -> None:  # fmt: skip
        """(Re)write the config and the environment: folders of data, classifier and teacher, class names and colours.

        imported: as in `imported()`; None: unchanged. machine: versions and devices of this session, which goes on at
        `step`: that of the first session stays as it is, and a later one is added (see `jaxgen.runs.sessions`).
        teacher_record, data_record: as in the methods of these names. Raises JaxgenError if they cannot be written.
        """
        session = self._session(config, machine or {}, step)  # before the config is another one
        try:
            self.samples.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise JaxgenError(f"{self.samples}: cannot be made: {err.strerror}") from err
        write_atomically(self.config_file, configs.dumps(config).encode())
        folders = {"data_dir": data_dir, "classifier": classifier, "teacher": teacher}
        environment = session | {key: path and str(Path(path).absolute()) for key, path in folders.items()}
        environment |= {"classes": list(classes), "palette": list(palette)}
        if data_record:
            environment["data"] = dict(data_record)
        if source := imported or self.imported():
            environment["imported"] = dict(source)
        if teacher_record:
            environment["taught_by"] = dict(teacher_record)
        write_atomically(self.environment_file, json.dumps(environment, indent=2).encode())

    def _session(self, config: Config, machine: Mapping[str, Any], step: int) -> dict[str, Any]:
        """The record of the sessions with the one of `machine`; a run without a checkpoint starts anew."""
        size = config.training.batch_size
        if not (self.exists() and self.checkpoints.is_dir()):
            return sessions.first(machine, size)
        before = self.config(say=lambda line: None).training.batch_size
        return sessions.gone_on(self._environment(), machine, step=step, batch_size=size, before=before)

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps after `step`, because a run that resumes there writes them again."""
        if self.metrics_file.exists():
            kept = [line for line in self.metrics_file.read_text().splitlines() if _step_of(line) <= step]
            write_atomically(self.metrics_file, "".join(line + "\n" for line in kept).encode())


def _lock(handle: int, path: Path) -> None:
    """Lock an open folder."""
    import fcntl  # not on Windows

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        raise JaxgenError(f"{path}: another process is training here; wait for it, or stop it") from err
    except OSError:  # a file system without locks: train unguarded
        pass


def _step_of(line: str) -> float:
    """The step of a metrics line; infinity for a truncated line."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")
