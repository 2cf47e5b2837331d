"""Renamed and dropped config keys, for reading run folders and model files of earlier jaxgen versions.

Add a line here for each key that is renamed or dropped, so that existing files stay readable.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Say = Callable[[str], object]


class Rename(NamedTuple):
    """The change of a key: its new name, None if it was dropped, and the jaxgen version of the change."""

    new: str | None
    version: str


# By the old key, dotted: 'training.lr', or 'training' for the whole section. In chronological order: a key that was
# renamed twice has two lines.
RENAMES: dict[str, Rename] = {"training.test_pictures": Rename("training.test_images", "0.2.0")}


class Change(NamedTuple):
    """A rename that was applied to a config."""

    old: str
    new: str | None
    version: str

    def covers(self, key: str) -> bool:
        """Whether this rename is of a key or its section; key: by its new name."""
        return key == self.new or key.startswith(f"{self.new}.")

    def __str__(self) -> str:
        if self.new is None:
            return f"left out {self.old}, which jaxgen {self.version} dropped"
        return f"read {self.old} as {self.new}"


def renamed(
    values: Mapping[str, Any], table: Mapping[str, Rename] | None = None
) -> tuple[dict[str, Any], list[Change]]:
    """A copy of a config's nested dict with current keys, and the list of changes.

    table: None for RENAMES. If the new key is present as well, it takes precedence.
    """
    result, changes = _copied(values), []
    for old, (new, version) in (RENAMES if table is None else table).items():
        section, leaf = _section(result, old)
        if section is None or leaf not in section:
            continue
        value = section.pop(leaf)
        if new is not None:
            target, leaf = _section(result, new, make=True)
            if target is None:  # a value is in the place of a section
                section[old.rpartition(".")[2]] = value
                continue
            target.setdefault(leaf, value)
        changes.append(Change(old, new, version))
    return result, changes


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _section(values: dict[str, Any], key: str, *, make: bool = False) -> tuple[dict[str, Any] | None, str]:
    """The section of a dotted key, None if it is missing, and the last part of the key."""
    *sections, leaf = key.split(".")
    section: Any = values
    for name in sections:
        section = section.setdefault(name, {}) if make else section.get(name)
        if not isinstance(section, dict):
            return None, leaf
    return section, leaf


def to_stderr(line: str) -> None:
    """Print a line to stderr: the default report of renames."""
    print(line, file=sys.stderr)
