"""Searching a plan's times: coordinate descent on an error that somebody else measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray

FRACTIONS = (1 / 2, 1 / 4, 1 / 8, 1 / 16)  # of the gap to the neighbour, by which a time is moved


class Found(NamedTuple):
    times: Array  # [S]
    error: float
    measured: int  # how often the error was measured


def search(
    error: Callable[[Array], float],
    times: Array,
    *,
    ceiling: float,
    grid: float = 1,
    floor: float = -1,
    budget: int = 150,
) -> Found:
    """Move one time after another as long as the error falls: the result is never worse.

    error: of times [S]; times: where to start, decreasing; grid: times are multiples of it; floor, ceiling: all stay
    between them; budget: how often the error may be measured. A time moves by a fraction of the gap to its neighbour.
    Once no move of one fraction helps, a smaller one is tried. NaN is no improvement.
    """
    best = np.array(times, np.float64)
    least, measured = error(best), 1
    for fraction in FRACTIONS:
        improved = True
        while improved:
            improved = False
            for place in range(len(best)):
                for moved in _moves(best, place, fraction, grid, (floor, ceiling)):
                    if measured == budget:
                        return Found(best, least, measured)
                    found, measured = error(moved), measured + 1
                    if found < least:
                        best, least, improved = moved, found, True
                        break  # the gaps are others now
    return Found(best, least, measured)


def _moves(times: Array, place: int, fraction: float, grid: float, ends: tuple[float, float]) -> list[Array]:
    """The times with one of them moved down and up, where there is room."""
    below = times[place + 1] if place + 1 < len(times) else ends[0]
    above = times[place - 1] if place else ends[1]
    moves = []
    for gap in (below - times[place], above - times[place]):
        target = np.round((times[place] + fraction * gap) / grid) * grid
        if target != times[place] and below < target < above:
            moves.append(times.copy())
            moves[-1][place] = target
    return moves
