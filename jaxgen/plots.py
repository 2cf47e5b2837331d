"""Curves and scatter plots, by matplotlib, which is imported when one is drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxgen.errors import extra

DPI = 100
DISTINCT = 10  # matplotlib's own colours, which then begin again
LEGEND_ROWS = 26


def figure(width: float, height: float) -> Any:
    """An empty figure, in inches, that needs no display."""
    with extra("train"):
        from matplotlib.figure import Figure
    return Figure((width, height), dpi=DPI, layout="constrained")


def pixels(drawn: Any) -> np.ndarray:
    """A figure as a picture [H, W, 3] uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _colours(count: int) -> list[Any]:
    """A colour for each of `count` classes, no two alike."""
    if count <= DISTINCT:
        return [f"C{i}" for i in range(count)]
    from matplotlib import colormaps

    return list(colormaps["turbo"](np.linspace(0, 1, count)))


def latent_scatter(
    points: np.ndarray, labels: np.ndarray, classes: tuple[str, ...] | list[str] = (), title: str = ""
) -> np.ndarray:
    """Points [N, 2] in the plane, coloured by their class (-1: grey), as a picture [H, W, 3]."""
    drawn = figure(7, 6)
    axes = drawn.subplots()
    colour_of = _colours(int(labels.max(initial=-1)) + 1)
    for label in np.unique(labels):
        chosen = points[labels == label]
        name = classes[label] if 0 <= label < len(classes) else str(label) if label >= 0 else None
        colour = colour_of[label] if label >= 0 else "0.5"
        axes.scatter(*chosen.T, s=8, color=colour, alpha=0.7, label=name, linewidths=0)
    if (labels >= 0).any():
        columns = math.ceil(len(np.unique(labels)) / LEGEND_ROWS)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=3, frameon=False, ncols=columns)
    axes.set_title(title or "latents")
    axes.set_aspect("equal", adjustable="datalim")
    return pixels(drawn)
