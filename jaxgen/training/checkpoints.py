"""Atomic checkpoints: Orbax writes a temporary folder, which is hashed, synced and renamed.

Orbax does not notice flipped bits and can list a half-deleted step as valid, so each checkpoint carries the SHA-256
of its files in `jaxgen.json`, and is renamed before it is deleted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from jaxgen.errors import JaxgenError, disk_fault, one_line
from jaxgen.files import sync
from jaxgen.runs.folder import SEAL
from jaxgen.training.train_step import TrainState


class SaveError(JaxgenError):
    """A checkpoint that could not be written; those before it are whole."""


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

        Raises SaveError if it cannot be written, or not be read back; existing checkpoints stay as they are.
        """
        final = self.path(int(state.step))
        aside = final.with_suffix(".tmp")
        try:
            with _quiet():
                self._write(aside, final, state, score, fid)
        except (OSError, ValueError, KeyError, RuntimeError) as err:  # a full disk raises any of these
            if jax.process_index() == 0:
                shutil.rmtree(aside, ignore_errors=True)
            reason = disk_fault(err) or one_line(err)
            raise SaveError(f"{final}: cannot be saved: {reason}") from err
        return final

    def _write(self, aside: Path, final: Path, state: TrainState, score: float | None, fid: float | None) -> None:
        main = jax.process_index() == 0
        if main:
            self.folder.mkdir(exist_ok=True)  # not its parents: below a mount that vanished is another disk
            for leftover in (*self.folder.glob("*.tmp"), *self.folder.glob("*.trash")):
                shutil.rmtree(leftover)
        multihost_utils.sync_global_devices("jaxgen:checkpoint:clean")
        with _plain(aside) as folder, ocp.StandardCheckpointer() as writer:
            writer.save(folder / "state", state)
            writer.wait_until_finished()
        _read_back(aside, state)
        if main:
            _seal(aside, int(state.step), score, fid)
            if final.exists():
                _discard(final)
            aside.rename(final)
            sync(self.folder)
            self._retire()
        multihost_utils.sync_global_devices("jaxgen:checkpoint:done")

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

    def measured(self, step: int) -> str:
        """The score that `best` compares, in words."""
        fid = self._sealed(step, "fid")
        return f"test loss {self.score(step):.4g}" if fid is None else f"FID {fid:.4g}"

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


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Orbax's logs and its threads' tracebacks: what fails is raised, and said in one line."""
    loggers = [logging.getLogger(name) for name in ("absl", "orbax", "asyncio")]
    before = [(logger, logger.level) for logger in loggers]
    hook, threading.excepthook = threading.excepthook, lambda _: None
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        threading.excepthook = hook
        for logger, level in before:
            logger.setLevel(level)


def _read(path: Path, like: Any) -> Any:
    try:
        with _plain(path) as folder, ocp.StandardCheckpointer() as reader:
            _require_dtypes(path, reader.metadata(folder / "state").item_metadata.tree, like)
            return reader.restore(folder / "state", like)
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


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """An absolute path to a checkpoint that Orbax may be given: a link, if the path has characters that it mistakes.

    Orbax takes a folder's name for a glob pattern, and TensorStore a backslash for a slash (docs/known-limits.md).
    """
    whole = path.absolute()
    if os.name != "posix" or not set(str(whole)) & set("[]*?\\"):
        yield whole
        return
    with tempfile.TemporaryDirectory(prefix="jaxgen-") as place:
        link = Path(place) / "checkpoints"
        link.symlink_to(whole.parent)
        yield link / path.name


def _read_back(path: Path, state: TrainState) -> None:
    """Open an unsealed checkpoint again: the shapes and dtypes of all leaves, and the values of one.

    Raises ValueError or KeyError if they are not those of `state`, or what Orbax raises if it finds nothing.
    """
    name = min(state.ema)
    leaf = state.ema[name]
    with _plain(path) as folder, ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        described = reader.metadata(folder / "state").item_metadata
        if described is None:  # Orbax logs the reason only
            raise ValueError("read back, there is no list of its arrays")
        found, wanted = (sorted(map(_kind, jax.tree.leaves(tree))) for tree in (described.tree, state))
        if found != wanted:
            raise ValueError(f"read back, it has {len(found)} arrays that are not the {len(wanted)} written")
        part = {"ema": {name: leaf}}
        arguments = ocp.args.PyTreeRestore(
            item=part, restore_args=ocp.checkpoint_utils.construct_restore_args(part), partial_restore=True
        )
        same = reader.restore(folder / "state", args=arguments)["ema"][name]
    if not np.array_equal(same.addressable_data(0), leaf.addressable_data(0), equal_nan=True):
        raise ValueError(f"read back, {name} has other values than those written")


def _kind(leaf: Any) -> tuple[tuple[int, ...], str]:
    return tuple(leaf.shape), str(leaf.dtype)


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
    if not (path / "state" / "manifest.ocdbt").is_file():
        return "Orbax lost its arrays: the name of a folder has [ ] or a backslash"  # in an older jaxgen
    return None


def _discard(path: Path) -> None:
    """Delete a checkpoint; if the process is killed halfway, no broken checkpoint is left."""
    shutil.rmtree(path.rename(path.with_name(path.name + ".trash")))
