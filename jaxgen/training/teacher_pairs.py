"""Pairs of a teacher: the noise of an image, and where the teacher's sampler takes it. A student regresses on them.

The pairs of a run are a function of its config and its teacher; they are written to its folder in pieces, so that an
interrupted run makes no piece twice and a resumed one learns from the same pairs.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgen.config import Config
from jaxgen.data import Batches
from jaxgen.data.batches import Share, permutation
from jaxgen.files import write_atomically
from jaxgen.models.sampling import advance, image_noise
from jaxgen.runs.status import duration
from jaxgen.sampling.process import Diffusion
from jaxgen.sampling.sampler_spec import SamplerSpec, table
from jaxgen.training.teacher import Teacher

SEED = 2**32 - 1  # of the pairs' noise; images of other seeds are new to the student
PIECE = 1024  # pairs in a file
AT_ONCE = 128  # pairs sampled in one call


class Pairs(NamedTuple):
    """A batch for a student. label: [B], of the real images in the batch. index: [B] uint32, whose noise under `SEED`
    is where the pair starts. wanted: [B], its class. points: [B, k, H, W, C] float16, where the teacher is after each
    of the student's k steps; the last one is its image."""

    label: Array
    index: Array  # type: ignore[assignment]
    wanted: Array
    points: Array


@dataclass(frozen=True)
class TeacherPairs:
    """The pairs in `folder`/pairs: `complete` makes those that are missing, a batch reads them."""

    config: Config  # of the student
    teacher: Teacher
    folder: Path
    _pieces: list[np.ndarray] = field(default_factory=list, init=False)

    @property
    def count(self) -> int:
        assert self.config.distilled
        return self.config.distilled.pairs

    @property
    def place(self) -> Path:
        """The folder of these pairs; those of other settings have another one."""
        assert self.config.distilled and self.config.plan
        section, share = self.config.distilled, getattr(self.config.model, "label_dropout", 0.0)
        recipe: list[Any] = [self.teacher.record["sha256"], section.teacher_steps, section.teacher_guidance]
        recipe += [section.pairs, share, self.config.plan.steps]
        return self.folder / "pairs" / hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]

    def labels(self, index: np.ndarray) -> np.ndarray:
        """The class of each pair: all in turn, and -1 for the share of images that are trained without one."""
        classes = self.config.class_count
        if not classes:
            return np.full(len(index), -1, np.int32)
        dropped = np.random.PCG64(SEED).random_raw(self.count)[index] < self.config.model.label_dropout * 2.0**64  # type: ignore[union-attr]
        return np.where(dropped, -1, index % classes).astype(np.int32)

    def complete(self, say: Callable[[str], None], stopped: Callable[[], bool]) -> bool:
        """Make the missing pieces, unless `stopped` says so before the next one; returns whether all are there."""
        for other in self.place.parent.glob("*"):
            if other != self.place:
                shutil.rmtree(other)
        self.place.mkdir(parents=True, exist_ok=True)
        missing = [start for start in range(0, self.count, PIECE) if not self._file(start).exists()]
        begun = time.perf_counter()
        for done, start in enumerate(missing):
            if stopped():
                return False
            index = np.arange(start, min(start + PIECE, self.count))
            parts = [self.trajectories(index[i : i + AT_ONCE]) for i in range(0, len(index), AT_ONCE)]
            stream = io.BytesIO()
            np.save(stream, np.concatenate(parts))
            write_atomically(self._file(start), stream.getvalue())
            left = (time.perf_counter() - begun) / (done + 1) * (len(missing) - done - 1)
            say(f"the teacher's images: {index[-1] + 1:,} of {self.count:,}  {duration(left)} left")
        return True

    def trajectories(self, index: np.ndarray) -> np.ndarray:
        """Where the teacher takes the noise of some pairs: float16 [N, k, H, W, C], as `Pairs.points`."""
        assert self.config.distilled and self.config.plan and self.teacher.config.process
        process, section = self.teacher.config.process, self.config.distilled
        sampler = "dpmpp-2m" if isinstance(process, Diffusion) else "euler"
        plan = table(process, SamplerSpec(sampler, section.teacher_steps))
        numbers = jnp.asarray(index, jnp.uint32)
        seeds, label = jnp.full_like(numbers, SEED), jnp.asarray(self.labels(index))
        start = image_noise(seeds, numbers, 0, self.config.data.shape)
        state, scale = (start, jnp.zeros_like(start)), section.teacher_guidance
        points = []
        for i, row in enumerate(jnp.asarray(plan), 1):
            state = advance(
                self.teacher.apply, self.teacher.params, row, state, seeds, numbers, label, jnp.float32(scale),
                guided=scale != 1,
            )  # fmt: skip
            if i % (section.teacher_steps // self.config.plan.steps) == 0:
                points.append(np.array(state[0], np.float16))  # a copy: the next row takes the state's memory
        return np.stack(points, axis=1)

    def batch(self, rows: np.ndarray, label: np.ndarray) -> Pairs:
        """The pairs of some rows; label: as in `Pairs`. All pieces must be there."""
        if not self._pieces:
            self._pieces.extend(np.load(self._file(i), mmap_mode="r") for i in range(0, self.count, PIECE))
        points = np.stack([self._pieces[row // PIECE][row % PIECE] for row in rows])
        return Pairs(label, rows.astype(np.uint32), self.labels(rows), points)  # type: ignore[arg-type]

    def _file(self, start: int) -> Path:
        return self.place / f"{start:08d}.npy"


class PairedBatches:
    """Batches of real images whose labels are `Pairs`: each step has as many of the teacher's as of the real ones."""

    def __init__(self, real: Batches, pairs: TeacherPairs, share: Share, *, seed: int) -> None:
        self.pairs, self._real, self._share, self._seed = pairs, real, share, seed
        self._rounds = share.steps(pairs.count)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        self.steps_per_epoch, self.classes, self.shape = real.steps_per_epoch, real.classes, real.shape
        self.palette, self.identity = real.palette, real.identity

    def __getitem__(self, step: int) -> tuple[np.ndarray, Any]:
        """Images uint8 [B, H, W, C], and `Pairs`."""
        images, label = self._real[step]
        epoch, within = divmod(step, self._rounds)
        if self._order[0] != epoch:
            self._order = (epoch, permutation(self.pairs.count, seed=self._seed, epoch=epoch))
        return images, self.pairs.batch(self._order[1][self._share.rows(within)], label)
