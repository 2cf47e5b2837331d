"""Curves and scatter plots by matplotlib, which is imported on demand."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.errors import extra

DPI = 100
DISTINCT = 10  # matplotlib's default colours before they repeat
LEGEND_ROWS = 26
MOST_LINES = 12  # in a panel with a legend, which is no help for more (a line for each latent dimension)

BELIEFS = {"d_real": "D(real)", "d_fake": "D(fake)"}  # of a GAN's discriminator, in one panel
FLOOR = "_floor"  # of the score of real images: eval_fid_floor is that of eval_fid
BOTTOM = ("lr", "images_per_second")  # panels whose axis starts at 0, so that constants look constant

Lines = Mapping[str, tuple[Sequence[int], Sequence[float]]]  # name -> steps, values


def figure(width: float, height: float) -> Any:
    """An empty figure that needs no display; width, height: in inches."""
    with extra("train"):
        from matplotlib.figure import Figure
    return Figure((width, height), dpi=DPI, layout="constrained")


def pixels(plot: Any) -> np.ndarray:
    """A figure as an image [H, W, 3] uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(plot)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _colours(count: int) -> list[Any]:
    """`count` different colours, one for each class."""
    if count <= DISTINCT:
        return [f"C{i}" for i in range(count)]
    from matplotlib import colormaps

    return list(colormaps["turbo"](np.linspace(0, 1, count)))


def latent_scatter(
    points: np.ndarray, labels: np.ndarray, classes: tuple[str, ...] | list[str] = (), title: str = ""
) -> np.ndarray:
    """A scatter plot of points [N, 2], coloured by their class (-1: grey), as an image [H, W, 3]."""
    plot = figure(7, 6)
    axes = plot.subplots()
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
    return pixels(plot)


def draw_score(
    steps: Sequence[int],
    values: Sequence[float],
    margins: Sequence[float],
    floor: float | None,
    *,
    name: str,
    title: str,
) -> np.ndarray:
    """A score against the network evaluations that an image took, with its intervals, and its floor as a line; as an
    image [H, W, 3] uint8."""
    plot = figure(6.4, 4)
    axes = plot.subplots()
    axes.errorbar(steps, values, yerr=np.nan_to_num(margins), marker="o", capsize=3, label="generated images")
    if floor is not None:
        axes.axhline(floor, color="0.4", linestyle="--", label="floor: test images")
    axes.set_xscale("log")
    axes.set_xticks(steps, [str(number) for number in steps])
    axes.minorticks_off()
    if min(values) > 0 and (floor is None or floor > 0):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("network evaluations an image")
    axes.set_ylabel(name)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False)
    return pixels(plot)


def panels(names: list[str]) -> dict[str, list[str]]:
    """The curves of each panel: a test metric shares that of its training metric, and a floor that of its score; all of
    'a/' share one, and so do the discriminator's beliefs about real and fake images."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for name in names:
        own = name.partition("/")[0].removeprefix("test_").removesuffix(FLOOR)
        panel = " and ".join(BELIEFS.values()) if name in BELIEFS else own
        grouped[panel].append(name)
    return dict(sorted(grouped.items(), key=lambda item: item[0] != "loss"))


def panel_title(panel: str, curves: Lines) -> str:
    """The title of a panel; it names the generator if the discriminator has the same metric."""
    owner = "generator " if f"discriminator_{panel}" in curves else ""
    return owner + panel.replace("_", " ")


def draw_curves(curves: Lines, title: str) -> np.ndarray:
    """One panel for each kind of metric, loss first, as an image [H, W, 3] uint8."""
    grouped = panels(list(curves))
    columns = min(3, len(grouped))
    rows = -(-len(grouped) // columns)
    plot = figure(4.6 * columns, 3.1 * rows + 0.4)
    plot.suptitle(title)
    axes = np.atleast_1d(plot.subplots(rows, columns, squeeze=False)).ravel()
    for axis, (panel, names) in zip(axes, grouped.items(), strict=False):
        _draw_panel(axis, panel_title(panel, curves), {name: curves[name] for name in names})
    for axis in axes[len(grouped) :]:
        axis.set_visible(False)
    return pixels(plot)


def _draw_panel(axis: Any, title: str, lines: Lines) -> None:
    for name, (steps, values) in lines.items():
        marker, label = "o" if len(steps) < 20 else None, BELIEFS.get(name, name.rpartition("/")[2])
        axis.plot(steps, values, label=label, linewidth=1.2, marker=marker, markersize=3)
    if lines.keys() <= BELIEFS.keys() and all(0 <= value <= 1 for _, values in lines.values() for value in values):
        axis.set_ylim(0, 1)  # but not for wgan-gp, whose scores are not probabilities
    elif lines.keys() <= set(BOTTOM):
        axis.set_ylim(bottom=0)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("step", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    if 1 < len(lines) <= MOST_LINES:
        axis.legend(fontsize=8, frameon=False)
