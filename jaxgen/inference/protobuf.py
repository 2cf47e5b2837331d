"""Protobuf's wire format, read without a protobuf library: the base install has none.

A message is a row of fields, each a tag (number << 3 | wire type) and a payload: a varint, 4 or 8 bytes, or a length
and that many bytes (text, packed numbers or another message; only a schema can tell). Nothing is copied and nothing
recurses: payloads are named by their offsets, and large ones are stepped over.
Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4, groups, are long deprecated and refused

MAX_DEPTH = 100  # messages inside one another; protobuf's own default
MAX_FIELDS = 1_000_000  # two seconds of walking; a real model has tens of thousands


class WireError(ValueError):
    """These bytes are not a protobuf message, or one that no honest writer makes."""


class Field(NamedTuple):
    number: int
    wire: int  # the wire type
    value: int  # of a varint; otherwise 0
    start: int  # of the payload, an offset into the data
    end: int


def fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in data[start:end], in file order.

    Raises WireError, when it gets there, on a field that is malformed or runs past `end`.
    """
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number < 2**29:
            raise WireError(f"field number {number}")
        first, value = at, 0
        if wire == VARINT:
            value, at = _varint(data, at, end)
        elif wire == BYTES:
            size, first = _varint(data, at, end)
            at = first + size
        elif wire in (FIXED32, FIXED64):
            at += 4 if wire == FIXED32 else 8
        else:
            raise WireError(f"wire type {wire}")
        if at > end:
            raise WireError("a field runs past its message's end")
        yield Field(number, wire, value, first, at)


def walk(data: bytes, schema: Mapping[str, Mapping[int, str]], root: str) -> Iterator[tuple[str, Field]]:
    """Each field of the message `data` and of those within it, depth first, with the kind of message it stands in.

    schema: for each kind of message, which field numbers hold messages and of which kind; a kind that is not in it
    holds none. A field that protobuf would merge or override is visited each time that it occurs.
    Raises WireError on malformed bytes, more than MAX_DEPTH levels or more than MAX_FIELDS fields.
    """
    stack = [(root, fields(data, 0, len(data)))]
    visited = 0
    while stack:
        kind, rest = stack[-1]
        field = next(rest, None)
        if field is None:
            stack.pop()
            continue
        visited += 1
        if visited > MAX_FIELDS:
            raise WireError(f"more than {MAX_FIELDS} fields")
        yield kind, field
        child = schema.get(kind, {}).get(field.number)
        if child is None:
            continue
        if field.wire != BYTES:
            raise WireError(f"field {field.number} of a {kind} is no message")
        if len(stack) == MAX_DEPTH:
            raise WireError(f"more than {MAX_DEPTH} messages inside one another")
        stack.append((child, fields(data, field.start, field.end)))


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at`, seven bits a byte with the lowest first, and the offset behind it."""
    value = shift = 0
    while at < end and shift < 70:  # 64 bits fit in ten bytes
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at
        shift += 7
    raise WireError("a number is cut off or has more than 64 bits")
