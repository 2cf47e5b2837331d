"""JSON of files that anybody may have written: parsed strictly, and checked by type."""

from __future__ import annotations

import json
from typing import Any

from jaxgen.errors import JaxgenError

JSON_NAMES = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
JSON_NAMES |= {list: "a list", dict: "an object", type(None): "null"}


def parse_object(text: bytes, most: int, what: str) -> dict[str, Any]:
    """Parse a JSON object of at most `most` bytes: no duplicate keys, no inf or nan, no half of a surrogate pair.

    what: its name in the message of the ValueError that is raised otherwise.
    """
    try:
        if len(text) > most:
            raise ValueError(f"more than {most} bytes")
        value = json.loads(text.decode(), object_pairs_hook=_unique)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as err:
        raise ValueError(f"{what} is no JSON: {ascii(str(err))[1:-1]}") from err
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key occurs twice")
    return table


def check_type(value: object, kind: type, key: str, name: str) -> None:
    """Raise JaxgenError unless the value has exactly this JSON type; key, name: those of the value and its file."""
    allowed = (float, int) if kind is float else (kind,)  # JSON has one type of number
    if type(value) not in allowed:  # not isinstance: true is no integer
        expected, actual = (JSON_NAMES.get(each, each.__name__) for each in (kind, type(value)))
        raise JaxgenError(f"{name}: {key!r} must be {expected}, got {actual}")
