"""What a pickle says, read as data: nothing in it is imported, called or made, whatever it asks for.

CIFAR's files for Python are pickles, and loading a pickle runs what its author wrote. Here its instructions are only
listed (by `pickletools`), and the few that numbers, text, lists, dicts and NumPy's arrays need are followed; a call
stays a note of what would have been called.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = {"PROTO", "FRAME"}
MARK = object()


@dataclass
class Call:
    """A note: this would have been called with these arguments, and then be given this state."""

    function: str
    arguments: Any
    state: Any = None


@dataclass(frozen=True)
class Name:
    """A note: this would have been imported."""

    text: str


def read(content: bytes) -> Any:
    """The value that a pickle describes; an array of bytes, or those in a dict, as uint8 arrays.

    Raises ValueError for anything else.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                (value,) = stack
                return _plain(value)
            if opcode.name not in IGNORED:
                _follow(opcode.name, argument, stack, memo)
    except (IndexError, KeyError, TypeError, AttributeError) as err:
        raise ValueError(f"its instructions make no sense ({err})") from err
    raise ValueError("it has no end")


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in CONSTANTS:
        stack.append(CONSTANTS[name])
    elif name in EMPTY:
        stack.append(EMPTY[name]())
    elif name in TUPLES:
        count = TUPLES[name]
        stack[len(stack) - count :] = [tuple(stack[len(stack) - count :])]
    elif name == "MARK":
        stack.append(MARK)
    elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[argument])
    elif name == "GLOBAL":
        stack.append(Name(argument.replace(" ", ".")))
    elif name == "STACK_GLOBAL":
        stack[-2:] = [Name(f"{stack[-2]}.{stack[-1]}")]
    elif name in ("REDUCE", "BUILD", "SETITEM", "APPEND", "SETITEMS", "APPENDS", "TUPLE", "LIST", "DICT"):
        _combine(name, stack)
    elif isinstance(argument, bytes | bytearray | str | int | float):  # BININT, BINUNICODE, SHORT_BINSTRING, ...
        stack.append(argument)
    else:
        raise ValueError(f"it holds what is neither numbers, text, lists, dicts nor arrays ({name})")


def _combine(name: str, stack: list[Any]) -> None:
    if name == "REDUCE":
        arguments = stack.pop()
        stack[-1] = _called(stack[-1].text, arguments)
    elif name == "BUILD":
        state = stack.pop()
        stack[-1].state = state
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        stack[-1][key] = value
    elif name == "APPEND":
        value = stack.pop()
        stack[-1].append(value)
    else:
        mark = len(stack) - 1 - stack[::-1].index(MARK)
        values = stack[mark + 1 :]
        del stack[mark:]
        pairs = zip(values[::2], values[1::2], strict=True)
        if name == "APPENDS":
            stack[-1].extend(values)
        elif name == "SETITEMS":
            stack[-1].update(pairs)
        else:
            stack.append({"TUPLE": tuple, "LIST": list}[name](values) if name != "DICT" else dict(pairs))


def _called(function: str, arguments: Any) -> Any:
    """A note of a call, or the bytes of the one by which Python 3 writes bytes for Python 2."""
    if function == "_codecs.encode" and arguments[1] == "latin1":
        return arguments[0].encode("latin-1")
    return Call(function, arguments)


def _plain(value: Any) -> Any:
    """The value, or the table of values, with arrays in place of the calls that would have made them."""
    if isinstance(value, dict):
        return {key: _array(part) if isinstance(part, Call) else part for key, part in value.items()}
    if value is MARK:
        raise ValueError("it ends too early")
    return _array(value) if isinstance(value, Call) else value


def _array(call: Call) -> np.ndarray:
    """The array of bytes that NumPy would make, in its older way to write one or its newer."""
    if call.function.endswith("multiarray._reconstruct") and isinstance(call.state, tuple):
        _, shape, dtype, fortran, raw = call.state
        order = "F" if fortran else "C"
    elif call.function.endswith("numeric._frombuffer"):
        raw, dtype, shape, order = call.arguments
    else:
        raise ValueError(f"it would call {call.function}, which is not done")
    if not isinstance(dtype, Call) or dtype.function != "numpy.dtype" or dtype.arguments[0] not in ("u1", b"u1"):
        raise ValueError("it holds an array of other numbers than bytes")
    raw = raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)  # text: of Python 2
    return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if order == "F" else "C")
