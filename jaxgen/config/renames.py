"""Keys of a config that have had other names: what run folders and model files of an earlier jaxgen are read with.

Whoever renames a key adds a line here, and one for a key that is dropped; so neither orphans what people have.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Say = Callable[[str], object]


class Rename(NamedTuple):
    """What has become of a key: its name today, None if it was dropped, and the version of jaxgen that did it."""

    new: str | None
    version: str


# By the old key, dotted: 'training.lr', or 'training' for the whole section. In the order in which they came: what was
# renamed twice has two lines.
RENAMES: dict[str, Rename] = {"training.test_pictures": Rename("training.test_images", "0.2.0")}


class Change(NamedTuple):
    """One entry of the table that a config had a use for."""

    old: str
    new: str | None
    version: str

    def covers(self, key: str) -> bool:
        """Whether this is of a key, or of a section that it stands in; key: by its new name."""
        return key == self.new or key.startswith(f"{self.new}.")

    def __str__(self) -> str:
        if self.new is None:
            return f"left out {self.old}, which jaxgen {self.version} dropped"
        return f"read {self.old} as {self.new}"


def renamed(
    values: Mapping[str, Any], table: Mapping[str, Rename] | None = None
) -> tuple[dict[str, Any], list[Change]]:
    """A config's nested plain dict by today's keys, and what was changed for it; `values` stays as it is.

    table: None for RENAMES. Where the new key is there already, it counts, and the old one is left out.
    """
    result, changes = _copied(values), []
    for old, (new, version) in (RENAMES if table is None else table).items():
        section, leaf = _section(result, old)
        if section is None or leaf not in section:
            continue
        value = section.pop(leaf)
        if new is not None:
            target, leaf = _section(result, new, make=True)
            if target is None:  # a value stands where a section must be
                section[old.rpartition(".")[2]] = value
                continue
            target.setdefault(leaf, value)
        changes.append(Change(old, new, version))
    return result, changes


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _section(values: dict[str, Any], key: str, *, make: bool = False) -> tuple[dict[str, Any] | None, str]:
    """The section that a dotted key stands in, None if it is not there, and the last part of the key."""
    *sections, leaf = key.split(".")
    found: Any = values
    for name in sections:
        found = found.setdefault(name, {}) if make else found.get(name)
        if not isinstance(found, dict):
            return None, leaf
    return found, leaf


def to_stderr(line: str) -> None:
    """Where a person hears what was read as what, unless a caller has a better place."""
    print(line, file=sys.stderr)
