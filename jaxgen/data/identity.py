"""The identity of a dataset: what a run keeps of its training images, to know them again wherever they lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

RECORDS = 16  # images that are hashed, evenly spaced over the training split
DIGITS = 16  # of each one's SHA-256 that are kept
SHOWN = 20  # class names in a message

Batch = tuple[np.ndarray, np.ndarray]  # images uint8 [B, H, W, C], labels int32 [B]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """classes: their names; count: of training images; shape: [H, W, C] as they are trained on; records: the first
    digits of the SHA-256 of some of them, pixels and label."""

    classes: tuple[str, ...]
    count: int
    shape: tuple[int, ...]
    records: tuple[str, ...]

    @classmethod
    def of(cls, read: Callable[[Sequence[int]], Batch], count: int, classes: Sequence[str]) -> Self:
        """read: gives the images and labels of some of the `count` rows."""
        rows = np.unique(np.arange(RECORDS) * count // RECORDS).tolist() if count else []
        images, labels = read(rows)
        records = tuple(
            hashlib.sha256(np.ascontiguousarray(image).tobytes() + int(label).to_bytes(4, "little", signed=True))
            .hexdigest()[:DIGITS]
            for image, label in zip(images, labels, strict=True)
        )  # fmt: skip
        return cls(classes=tuple(classes), count=count, shape=tuple(map(int, images.shape[1:])), records=records)

    @property
    def digest(self) -> str:
        """The SHA-256 of all of it: 64 hex digits."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The identity as JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: object) -> Self | None:
        """The inverse of `to_dict`; None for what is no identity, such as the record of an earlier version."""
        if not isinstance(values, Mapping):
            return None
        try:
            return cls(
                classes=tuple(map(str, values["classes"])), count=int(values["count"]),
                shape=tuple(map(int, values["shape"])), records=tuple(map(str, values["records"])),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            return None

    def differences(self, other: Identity) -> list[str]:
        """What is otherwise in `other`, in words; [] for the same data."""
        found = [f"the classes were {listed(self.classes)}, and are {listed(other.classes)}"]
        found = found if self.classes != other.classes else []
        if self.count != other.count:
            found.append(f"there were {self.count:,} training images, and are {other.count:,}")
        if self.shape != other.shape:
            found.append(f"they were {_by(self.shape)}, and are {_by(other.shape)}")
        elif self.count == other.count:
            pairs = list(zip(self.records, other.records, strict=False))
            if changed := sum(one != two for one, two in pairs):
                found.append(f"{changed} of {len(pairs)} images that were looked at differ")
        return found


def listed(classes: Sequence[str]) -> str:
    """Class names in a message, cut after SHOWN of them."""
    more = f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
    return ", ".join(classes[:SHOWN]) + more or "none"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
