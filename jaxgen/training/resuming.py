"""What a run that goes on must find as it was, and what a changed config means for the rest of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxgen.config import Config, differences
from jaxgen.data import FORMS, Batches
from jaxgen.data.batches import Batch, RenamedBatches, renumbered
from jaxgen.data.identity import Identity, listed
from jaxgen.errors import UsageError
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.sessions import Progress
from jaxgen.training.train_step import learning_rate, total_steps

# The keys whose change says something of the steps that are left.
PACE = ("training.batch_size", "training.epochs", "training.steps", "training.lr", "training.lr_schedule",
        "training.warmup")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Past:
    """A run before it goes on. config: as it was trained so far; classes: by which names; identity: of its data, None
    for a run that did not record it; accept: whether other data may take their place."""

    run: RunFolder
    config: Config
    classes: tuple[str, ...]
    identity: Identity | None
    progress: Progress
    accept: bool = False

    @classmethod
    def of(cls, run: RunFolder, *, accept: bool = False) -> Past | None:
        """The past of a run folder; None if it has no checkpoint."""
        if not run.exists() or not run.checkpoints.is_dir():
            return None
        config = run.config(say=lambda line: None)
        return cls(
            run=run, config=config, classes=run.classes(), identity=Identity.from_dict(run.data_record()),
            progress=run.progress(config.training.batch_size), accept=accept,
        )  # fmt: skip

    def require_place(self, dataset: str) -> None:
        """Raise UsageError, which says what to do, for data of one's own that are gone."""
        kind, _, rest = dataset.partition(":")
        if kind in FORMS and not any(Path(path).exists() for path in (rest, rest.rpartition("?")[0] or rest)):
            command = f"jaxgen train --resume {shlex.quote(str(self.run.path))} --dataset {kind}:PATH"
            what = "folder" if kind == "folder" else "data"
            raise UsageError(f"{dataset}: there is no such {what} any more; name where it lies now: {command}")

    def same_data(self, batches: Batches, config: Config) -> np.ndarray | None:
        """The trained number of each class that the data have now, -1 for none; None if they are as they were.

        A class has the number of its name; the others take the numbers that are left, in order.
        Raises UsageError for other data unless they are accepted, and for those with more classes than the network.
        """
        found = batches.identity
        if self.identity:
            changed = self.identity.differences(found)
        elif self.classes and self.classes != found.classes:
            changed = [f"the classes were {listed(self.classes)}, and are {listed(found.classes)}"]
        else:
            changed = []
        if not changed:
            return None
        data = config.data.dataset
        if not self.accept:
            command = f"jaxgen train --resume {shlex.quote(str(self.run.path))}"
            raise UsageError(
                f"{data} is not what {self.run.path} was trained on: {'; '.join(changed)}. Name where those data lie "
                f"({command} --dataset or --data-dir), or go on with these, by the trained class names: "
                f"{command} --accept-data"
            )
        numbers = numbers_of(found.classes, self.classes)
        if config.class_count and (numbers < 0).any():
            raise UsageError(
                f"{data} has more classes ({listed(found.classes)}) than the network knows ({listed(self.classes)}): "
                "take some of them away, or start a new run"
            )
        if config.data.without and found.classes != self.classes:
            raise UsageError("data.without counts the classes that were trained, and these are others; start a new run")
        return numbers

    def in_words(self, config: Config, start: int, total: int, steps_per_epoch: int, count: int) -> str | None:
        """What a changed batch, length or learning rate means for a run that goes on at `start`, in one line; None if
        none of these changed.

        total, steps_per_epoch: as they are now; count: training images.
        """
        pairs = differences(self.config, config)
        changed = {key: pairs[key] for key in PACE if key in pairs}
        if not changed:
            return None
        told = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in changed.items())
        done, size = self.progress.images(start), config.training.batch_size
        line = (
            f"changed: {told}; {done:,} images are done ({done / (steps_per_epoch * size):.3g} epochs), and "
            f"{max(0, total - start):,} steps of {size} follow"
        )
        per_epoch = max(1, count // self.config.training.batch_size)
        before = learning_rate(self.config.training, total_steps(self.config, per_epoch, self.progress))
        old, new = (float(schedule(start)) for schedule in (before, learning_rate(config.training, total)))
        return line + (f"; the learning rate there was to be {old:.3g} and is {new:.3g}" if old != new else "")


def numbers_of(present: Sequence[str], trained: Sequence[str]) -> np.ndarray:
    """For each present class its number among the trained ones, by name; the others take those that are left, in order,
    and -1 where none is: int32 [K]."""
    left = iter([number for number, name in enumerate(trained) if name not in present])
    return np.array([trained.index(name) if name in trained else next(left, -1) for name in present], np.int32)


def renamed(batches: Batches, test: Batch | None, past: Past, numbers: np.ndarray) -> tuple[Batches, Batch | None]:
    """Training batches and test images with the labels by which the run was trained."""
    relabelled = test and (test[0], renumbered(test[1], numbers))
    return RenamedBatches(batches, past.classes, numbers), relabelled
