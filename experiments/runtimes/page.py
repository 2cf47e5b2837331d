"""The tables of docs/runtimes.md in Markdown: a line for each row, which a later run may replace alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from measure import Cell, Row

from jaxgen.inference.verify import MAX_RELATIVE

KINDS = ("VAE", "GAN", "diffusion")
END = "<!-- end -->"
Found = Mapping[str, Cell]  # by kind


def cell(found: Cell) -> str:
    """'100 %, 1.36' of equal pixels and speed; a share is rounded down, so that 100 % is all of them. 'within 3e-07,
    0.90' of a network."""
    if found.relative is not None:
        within = "within" if found.relative <= MAX_RELATIVE else "off by"
        return f"{within} {found.relative:.0e}, {found.speed:.2f}"
    if found.identical is None:
        return "no"
    share = int(found.identical * 10_000) / 100
    differs = "" if found.identical == 1 else f" (off by {found.off_by})"
    return f"{share:g} %{differs}, {found.speed:.2f}"


def note(found: Found) -> str:
    """What went wrong, in the library's words, once for all files that it is the same for."""
    kinds: dict[str, list[str]] = {}
    for kind, each in found.items():
        told = {
            f"`{each.error}`": each.error,
            f"loses {each.lost}": each.lost,
            "its first run gives another result than later ones": each.unsteady,
        }
        for words in (words for words, so in told.items() if so):
            kinds.setdefault(words, []).append(kind)
    return "; ".join(words if len(of) == len(found) else f"{', '.join(of)}: {words}" for words, of in kinds.items())


def line(row: Row, found: Found, head: Sequence[str]) -> str:
    """head: 'runtime', 'version', 'file', or fewer of them."""
    return f"{_begin(row, head)}{' | '.join((*(cell(found[kind]) for kind in KINDS), note(found))).rstrip()} |"


def table(rows: Sequence[Row], lines: Mapping[Row, str], head: Sequence[str]) -> str:
    """Without the rows that have no line."""
    columns = [*head, *KINDS, "what it says"]
    top = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    return "\n".join([*top, *(lines[row] for row in rows if row in lines)])


def lines(text: str, rows: Sequence[Row], head: Sequence[str]) -> dict[Row, str]:
    """Those that the text has."""
    have = text.splitlines()
    return {row: each for row in rows for each in have if each.startswith(_begin(row, head))}


def section(text: str, begin: str) -> str:
    """What stands after the line `begin`."""
    _, found, tail = text.partition(f"{begin}\n")
    if not found:
        raise SystemExit(f"expected the line {begin!r}")
    return tail[: tail.index(END)]


def written(text: str, begin: str, table: str) -> str:
    """The text with what stands after the line `begin` replaced."""
    old = section(text, begin)
    return text.replace(f"{begin}\n{old}{END}", f"{begin}\n{table}\n{END}")


def _begin(row: Row, head: Sequence[str]) -> str:
    return f"| {' | '.join([row.name, row.version, row.inputs][: len(head)])} | "
