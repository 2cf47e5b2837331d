"""Classes as people name them: by name, by number, or by '#' and a number where both could be meant."""

from __future__ import annotations

from collections.abc import Sequence

from jaxgen.errors import UsageError


def class_number(text: str, classes: Sequence[str]) -> int | None:
    """The number of the class that a text names or counts; None if there is none. '#2' is number 2 in any case.

    Raises UsageError, which names both, if it is the name of one class and the number of another.
    """
    digits = text.removeprefix("#") if text not in classes else text
    counted = int(digits) if digits.isdecimal() and len(digits) <= 9 and int(digits) < len(classes) else None
    if text not in classes:
        return counted
    named = classes.index(text)
    if counted is not None and counted != named:
        raise UsageError(
            f"{text} could mean two classes: number {named} is called {text!r}, and number {counted} is called "
            f"{classes[counted]!r}; say #{named} or #{counted}"
        )
    return named


def class_text(number: int, classes: Sequence[str]) -> str:
    """The text that means this class alone: its name, or '#' and its number where another class could be meant, too."""
    try:
        return classes[number] if class_number(classes[number], classes) == number else f"#{number}"
    except UsageError:
        return f"#{number}"
