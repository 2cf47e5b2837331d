"""The sessions of a run in its environment.json: the first one's machine, and what each later one changed.

The file holds the first session's machine as it was, and a list "resumed" with an entry for each later one: the step at
which it began, the images of a step, and those keys of MACHINE that differ from the session before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MACHINE = (
    "jaxgen", "python", "platform", "backend", "devices", "processes", "cpu_threads", "jax_config", "xla_flags",
    "packages",
)  # fmt: skip


def first(machine: Mapping[str, Any], batch_size: int) -> dict[str, Any]:
    """The record of a run that starts; batch_size: images of a step."""
    return {**machine, "batch_size": batch_size, "resumed": []}


def gone_on(
    record: Mapping[str, Any], machine: Mapping[str, Any], *, step: int, batch_size: int, before: int
) -> dict[str, Any]:
    """The record of a run that goes on at `step` with steps of `batch_size` images.

    before: images of a step so far, for records of earlier versions, which do not say it.
    """
    known = {key: record[key] for key in MACHINE if key in record}
    last = latest(record)
    entry = {"step": step, "batch_size": batch_size}
    if known:
        entry |= {key: value for key, value in machine.items() if last.get(key) != value}
    start = known or dict(machine)  # nothing is known of the first session's machine: a run that was only written
    return first(start, _number(record.get("batch_size")) or before) | {"resumed": [*entries(record), entry]}


def latest(record: Mapping[str, Any]) -> dict[str, Any]:
    """The machine of the newest session; {} if no session recorded one."""
    machine = {key: record[key] for key in MACHINE if key in record}
    for entry in entries(record):
        machine |= {key: entry[key] for key in MACHINE if key in entry}
    return machine


def entries(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of later sessions; those that are none are left out."""
    found = record.get("resumed")
    return [dict(entry) for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


@dataclass(frozen=True)
class Progress:
    """How many images a run's steps had. parts: (first step, images of each step from there on), ascending; the first
    one is of step 0."""

    parts: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, record: Mapping[str, Any], batch_size: int) -> Progress:
        """From environment.json; batch_size: of a record that does not say it."""
        made = cls(((0, _number(record.get("batch_size")) or batch_size),))
        for entry in entries(record):
            step, size = _number(entry.get("step")), _number(entry.get("batch_size"))
            if size:
                made = made.then(step, size)
        return made

    def then(self, step: int, batch_size: int) -> Progress:
        """The same up to `step`, and steps of `batch_size` images from there on."""
        parts = tuple(part for part in self.parts if part[0] < step)
        if parts and parts[-1][1] == batch_size:
            return Progress(parts)
        return Progress((*parts, (step if parts else 0, batch_size)))

    @property
    def batch_size(self) -> int:
        """Images of a step now."""
        return self.parts[-1][1]

    def images(self, step: int) -> int:
        """Images of the first `step` steps."""
        ends = [*(start for start, _ in self.parts[1:]), step]
        return sum(max(0, min(end, step) - start) * size for (start, size), end in zip(self.parts, ends, strict=True))

    @property
    def offset(self) -> int:
        """What is added to a step to get the number of its batch, as if all steps had been of as many images as now.

        It is 0 as long as the batch never changed, and the same for all steps since it did. A batch that was read in
        part is read again.
        """
        start, size = self.parts[-1]
        return self.images(start) // size - start

    def total(self, images: int) -> int:
        """The step at which at least `images` images are done; the last change of the batch, if that was later."""
        start, size = self.parts[-1]
        return start + max(0, -(-(images - self.images(start)) // size))


def _number(value: object) -> int:
    """A count in a record; 0 for anything else."""
    return value if isinstance(value, int) and value > 0 else 0
