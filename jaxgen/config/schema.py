"""Building frozen dataclasses from plain values, with checks of names and types.

A dataclass may hold integers, numbers, strings, booleans, tuples of integers, Literals, and dataclasses of these as
sections.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from typing import Any, Literal, TypeGuard, TypeVar, get_args, get_origin, get_type_hints

from jaxgen.errors import UsageError, nearest

T = TypeVar("T")


def require(condition: bool, key: str, expected: str, value: object) -> None:
    """Raise UsageError with 'KEY must be EXPECTED, got VALUE' unless the condition holds."""
    if not condition:
        raise UsageError(f"{key} must be {expected}, got {value!r}")


def keys(kind: type) -> list[str]:
    """All settable keys of a dataclass, dotted in sections: 'name', 'training.lr', ..."""
    names = []
    for name, hint in get_type_hints(kind).items():
        names += [f"{name}.{key}" for key in keys(hint)] if _is_section(hint) else [name]
    return names


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """An instance of `kind` from nested dicts; missing keys keep their defaults.

    Raises UsageError on an unknown key (and names the nearest one), or a value of the wrong type or refused by `kind`.
    """
    return _section(kind, values, "", keys(kind))


def unknown(key: str, known: list[str]) -> UsageError:
    """The error for an unknown key, with the nearest key; a key without its section ('lr') counts as near."""
    same_leaf = [other for other in known if other.rpartition(".")[2] == key.rpartition(".")[2]]
    hint = f" (did you mean {' or '.join(map(repr, same_leaf))}?)" if same_leaf else nearest(key, known)
    return UsageError(f"unknown config key {key!r}{hint}")


def parse_value(text: str) -> Any:
    """Parse a TOML value; other text is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def format_value(value: Any) -> str:
    """Format a value as TOML."""
    # JSON is valid TOML here, except for DEL and for the surrogate pairs of ASCII JSON.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _section(kind: type[T], values: Mapping[str, Any], prefix: str, known: list[str]) -> T:
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise unknown(prefix + key, known)
    return kind(**{key: _convert(value, hints[key], prefix + key, known) for key, value in values.items()})


def _convert(value: Any, hint: Any, key: str, known: list[str]) -> Any:
    """Convert `value` to the annotated type of `key`. Raises UsageError."""
    if _is_section(hint):
        require(isinstance(value, Mapping), key, "a table", value)
        return _section(hint, value, key + ".", known)
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        chosen = any(value == choice and type(value) is type(choice) for choice in choices)  # 1 is not True or 1.0
        require(chosen, key, f"one of {', '.join(map(str, choices))}", value)
        return value
    if get_origin(hint) is tuple:
        integers = isinstance(value, list | tuple) and all(type(v) is int for v in value)
        require(integers, key, "a list of integers", value)
        return tuple(value)
    if hint is float:
        require(type(value) in (int, float) and abs(value) < 1e300, key, "a finite number", value)
        return float(value)
    require(type(value) is hint, key, {int: "an integer", str: "a string", bool: "true or false"}[hint], value)
    require(hint is not str or _is_unicode(value), key, "valid Unicode", value)
    return value


def _is_section(hint: Any) -> TypeGuard[type]:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogates, which come from undecodable command lines and are invalid in TOML."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
