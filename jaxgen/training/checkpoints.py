"""Atomic checkpoints: Orbax writes a temporary folder, which is hashed, synced and renamed.

Orbax does not notice flipped bits and can list a half-deleted step as valid, so each checkpoint carries the SHA-256
of its files in `jaxgen.json`, and is renamed before it is deleted.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from jaxgen.errors import JaxgenError, one_line
from jaxgen.files import sync
from jaxgen.runs.folder import SEAL
from jaxgen.training.train_step import TrainState


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run, in `folder`/STEP; the newest `keep` and the best one stay."""

    folder: Path
    keep: int = 3

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, whole or damaged, ascending."""
        return sorted(int(path.name) for path in self.folder.glob("[0-9]*") if path.name.isdigit())

    def path(self, step: int) -> Path:
        """Folder of the checkpoint of a step; it need not exist."""
        return self.folder / f"{step:08d}"

    def save(self, state: TrainState, score: float | None = None, *, fid: float | None = None) -> Path:
        """Write the state of its step; score: its test loss; fid: of its samples; None if they were not measured.

        Raises JaxgenError if it cannot be written; existing checkpoints stay as they are.
        """
        step = int(state.step)
        final = self.path(step)
        aside = final.with_suffix(".tmp")
        if jax.process_index() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in (*self.folder.glob("*.tmp"), *self.folder.glob("*.trash")):
                shutil.rmtree(leftover)
        multihost_utils.sync_global_devices("jaxgen:checkpoint:clean")
        try:
            with ocp.StandardCheckpointer() as writer:
                writer.save(aside.absolute() / "state", state)
                writer.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as err:  # a full disk raises any of these
            raise JaxgenError(f"{final}: cannot be saved: {one_line(err)}") from err
        if jax.process_index() == 0:
            _seal(aside, step, score, fid)
            if final.exists():
                _discard(final)
            aside.rename(final)
            sync(self.folder)
            self._retire()
        multihost_utils.sync_global_devices("jaxgen:checkpoint:done")
        return final

    def restore(self, like: Any, *, step: int | None = None, say: Callable[[str], None] | None = None) -> Any:
        """The newest whole checkpoint (or that of `step`), with the structure and shardings of `like`; None if none.

        Damaged checkpoints are skipped, with a line to `say` (default: stderr).
        Raises JaxgenError if every checkpoint is damaged, or if the whole one has another structure.
        """
        say = say or partial(print, file=sys.stderr)
        candidates = self.steps() if step is None else [step]
        for candidate in reversed(candidates):
            path = self.path(candidate)
            problem = _damage(path)
            if problem is None:
                return _read(path, like)
            say(f"checkpoint {path} is damaged ({problem}); {'trying the one before it' if step is None else 'no use'}")
        if candidates:
            which = ", ".join(map(str, candidates))
            raise JaxgenError(f"{self.folder}: no whole checkpoint (of step {which}); train again in a new --out")
        return None

    def set_aside_after(self, step: int) -> None:
        """Rename the (damaged) checkpoints after `step`: a run that resumes there writes these steps again.

        If they stayed, they would count as the newest ones and push out whole ones.
        """
        for later in self.steps():
            if later > step:
                damaged = self.path(later).with_suffix(".damaged")
                if damaged.exists():
                    shutil.rmtree(damaged)
                self.path(later).rename(damaged)

    def best(self) -> int | None:
        """Step of the checkpoint with the lowest FID, or, if none was evaluated, with the lowest test loss; None if
        none was scored."""
        for name in ("fid", "score"):
            scored = [(score, step) for step in self.steps() if (score := self._sealed(step, name)) is not None]
            if scored:
                return min(scored)[1]
        return None

    def score(self, step: int) -> float | None:
        """The test loss that a checkpoint was saved with, None if it had none or cannot be read."""
        return self._sealed(step, "score")

    def _sealed(self, step: int, name: str) -> float | None:
        try:
            score = json.loads((self.path(step) / SEAL).read_text())[name]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return score if isinstance(score, float) and math.isfinite(score) else None

    def _retire(self) -> None:
        kept = {*self.steps()[-self.keep :], self.best()}
        for step in self.steps():
            if step not in kept:
                _discard(self.path(step))


def _read(path: Path, like: Any) -> Any:
    try:
        with ocp.StandardCheckpointer() as reader:
            _require_dtypes(path, reader.metadata(path.absolute() / "state").item_metadata.tree, like)
            return reader.restore(path.absolute() / "state", like)
    except (ValueError, KeyError, TypeError) as err:  # the bytes match their hashes, so the shapes differ
        raise JaxgenError(f"{path}: does not fit this config's network and optimiser: {one_line(err)}") from err


def _require_dtypes(path: Path, saved: Any, like: Any) -> None:
    """Raise JaxgenError if an array was saved with another dtype than it is to have: Orbax would cast it without a
    word, float32 to int32 even. Arrays that only one of both has are left to Orbax, which refuses them."""
    have, want = _dtypes(saved), _dtypes(like)
    for name in sorted(have.keys() & want.keys()):
        if have[name] != want[name]:
            raise JaxgenError(
                f"{path}: does not fit this config's network and optimiser: {name} was saved as {have[name]}, "
                f"and is {want[name]}"
            )


def _dtypes(tree: Any) -> dict[str, str]:
    """The dtype of each array of a tree, by its place: 'optimizer.1.mu.conv'. Named tuples were saved as dicts."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    name = partial(jax.tree_util.keystr, simple=True, separator=".")
    return {name(place): str(leaf.dtype) for place, leaf in leaves if hasattr(leaf, "dtype")}


def _hashes(path: Path) -> dict[str, str]:
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != SEAL)
    hashes = {}
    for file in files:
        with file.open("rb") as stream:
            hashes[file.relative_to(path).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashes


def _seal(path: Path, step: int, score: float | None, fid: float | None) -> None:
    """Hash every file of a checkpoint, write the list beside them, and sync everything to disk."""
    for file in path.rglob("*"):
        sync(file)
    seal = path / SEAL
    measured = {} if fid is None else {"fid": fid}
    seal.write_text(json.dumps({"step": step, "score": score, **measured, "files": _hashes(path)}))
    sync(seal)
    sync(path)


def _damage(path: Path) -> str | None:
    """The damage of a checkpoint in words, None if it is whole."""
    try:
        recorded = dict(json.loads((path / SEAL).read_text())["files"])
        hashes = _hashes(path)
    except FileNotFoundError:
        return f"{SEAL} is missing"
    except OSError as err:
        return f"cannot be read: {err.strerror}"
    except (ValueError, KeyError, TypeError):
        return f"{SEAL} is broken"
    for name in sorted(recorded.keys() | hashes.keys()):
        if name not in hashes:
            return f"{name} is missing"
        if recorded.get(name) != hashes[name]:
            return f"{name} does not match its hash"
    return None


def _discard(path: Path) -> None:
    """Delete a checkpoint; if the process is killed halfway, no broken checkpoint is left."""
    shutil.rmtree(path.rename(path.with_name(path.name + ".trash")))
