"""Splits of data that people made: by the names of files and folders, or every tenth image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

ORDER = ("train", "test", "validation")
TEST_EVERY = 10  # every tenth image, in a fixed order, is for testing where nobody chose
# The words for a split in the names of files and folders.
WORDS = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "t10k": "test", "val": "validation",
    "valid": "validation", "validation": "validation", "dev": "validation",
}  # fmt: skip


def named(text: str) -> str | None:
    """The split that a name is of, 'train', 'test' or 'validation', by its words: 'x_train', 'test-00000-of-00001'."""
    found = {WORDS[word] for word in re.split(r"[^a-z0-9]+", text.lower()) if word in WORDS}
    return found.pop() if len(found) == 1 else None


def completed(splits: Mapping[str, T]) -> dict[str, T]:
    """Splits in a fixed order; without a test split, that for validation is it."""
    found = dict(splits)
    if "test" not in found and "validation" in found and "train" in found:
        found["test"] = found.pop("validation")
    return {name: found[name] for name in sorted(found, key=ORDER.index)}


def every_tenth(count: int) -> dict[str, list[int]]:
    """The rows for training and testing of `count` images that nobody divided."""
    test = range(TEST_EVERY - 1, count, TEST_EVERY)
    chosen = set(test)
    return {"train": [row for row in range(count) if row not in chosen], "test": list(test)}


def natural(name: str) -> tuple[object, ...]:
    """A key to sort names by, in which 2 comes before 10."""
    parts = re.split(r"(\d+)", name)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name


def in_order(names: Sequence[str] | set[str]) -> tuple[str, ...]:
    """Names once each, in natural order."""
    return tuple(sorted(set(names), key=natural))
