"""Reading a section of a manifest key by key, with checks of types and ranges, and one-line errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgen.errors import JaxgenError

MAX_TEXT = 1000  # characters of a name


class Section:
    """All methods raise JaxgenError if their key is missing, mistyped or out of range; other keys are ignored."""

    def __init__(self, values: object, key: str, file: str) -> None:
        """key: of the section in its manifest, dotted; file: its name in messages."""
        self._key, self._file = key, file
        if not isinstance(values, Mapping):
            raise self.error("", "an object", values)
        self._values: Mapping[str, Any] = values

    def error(self, key: str, expected: str, value: object) -> JaxgenError:
        """The error for an invalid value."""
        whole = f"{self._key}.{key}" if key else self._key
        got = _shown(value)
        return JaxgenError(f"{self._file}: its manifest: {whole!r} must be {expected}, got {got}; export it again")

    def text(self, key: str) -> str:
        value = self._value(key)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
            raise self.error(key, "a name", value)
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        value = self._value(key)
        if value not in choices or not isinstance(value, str):
            raise self.error(key, f"one of {', '.join(choices)}", value)
        return value

    def boolean(self, key: str) -> bool:
        value = self._value(key)
        if not isinstance(value, bool):
            raise self.error(key, "true or false", value)
        return value

    def integer(self, key: str, least: int, most: int) -> int:
        value = self._value(key)
        if type(value) is not int or not least <= value <= most:
            raise self.error(key, f"an integer from {least} to {most}", value)
        return value

    def is_null(self, key: str) -> bool:
        return self._value(key) is None

    def number(
        self, key: str, least: float, most: float, *, open_left: bool = False, open_right: bool = False
    ) -> float:  # fmt: skip
        """open_left, open_right: whether the bound itself is out of range."""
        value = self._value(key)
        good = type(value) in (int, float) and least <= value <= most
        if not good or (open_left and value == least) or (open_right and value == most):
            first, second = "above" if open_left else "from", "below" if open_right else "to"
            raise self.error(key, f"a number {first} {least:g} {second} {most:g}", value)
        return float(value)

    def integers(self, key: str, lengths: Sequence[int], most: int) -> tuple[int, ...]:
        """A list of integers from 1 to `most`, of one of the `lengths`."""
        value = self._value(key)
        good = isinstance(value, list) and len(value) in lengths
        if not good or any(type(one) is not int or not 1 <= one <= most for one in value):
            raise self.error(key, f"{' or '.join(map(str, lengths))} integers from 1 to {most}", value)
        return tuple(value)

    def names(self, key: str, most: int) -> tuple[str, ...]:
        """A list of up to `most` strings."""
        value = self._value(key)
        if not isinstance(value, list) or len(value) > most or not all(isinstance(one, str) for one in value):
            raise self.error(key, f"a list of at most {most} names", value)
        return tuple(value)

    def has(self, key: str) -> bool:
        return key in self._values

    def section(self, key: str, *, required: bool = False, nullable: bool = False) -> Section | None:
        """A nested section; None if it is missing and not required, or null and nullable."""
        if not required and key not in self._values:
            return None
        value = self._value(key)
        if value is None and nullable:
            return None
        return Section(value, f"{self._key}.{key}", self._file)

    def _value(self, key: str) -> Any:
        if key not in self._values:
            raise JaxgenError(f"{self._file}: its manifest has no '{self._key}.{key}'; export it again")
        return self._values[key]


def _shown(value: object) -> str:
    """A value as one short line."""
    if isinstance(value, Mapping):
        return "an object"
    text = "null" if value is None else ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
