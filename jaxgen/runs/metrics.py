"""The curves of a run, from its metrics.jsonl, as one picture."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.plots import figure, pixels
from jaxgen.errors import UsageError

MOST_LINES = 12  # in one panel; of more (a line for each latent dimension) a legend is of no use

BELIEFS = {"d_real": "D(real)", "d_fake": "D(fake)"}  # of a GAN's discriminator, in one panel
BOTTOM = ("lr", "images_per_second")  # panels from 0, in which what is constant looks constant

Curves = dict[str, tuple[list[int], list[float]]]  # name -> steps, values


def read_curves(metrics: Path) -> Curves:
    """Every number that a run has written down, by name. Raises UsageError if there is none."""
    found: Curves = defaultdict(lambda: ([], []))
    try:
        lines = metrics.read_text().splitlines()
    except OSError as err:
        raise UsageError(f"{metrics.parent}: no run to plot ({metrics.name}: {err.strerror})") from err
    for line in lines:
        try:
            row = dict(json.loads(line))
            step = int(row.pop("step"))
        except (ValueError, TypeError, KeyError):
            continue  # a crash cut it short
        for name, value in row.items():
            found[name][0].append(step)
            found[name][1].append(float(value))
    if not found:
        raise UsageError(f"{metrics.parent}: nothing to plot yet: {metrics.name} is empty")
    return dict(found)


def panels(names: list[str]) -> dict[str, list[str]]:
    """Which curves share a panel: a number of the test set goes with its own of training, 'a/b' with all of 'a/', and
    what a discriminator says of real pictures with what it says of drawn ones."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for name in names:
        panel = " and ".join(BELIEFS.values()) if name in BELIEFS else name.partition("/")[0].removeprefix("test_")
        grouped[panel].append(name)
    return dict(sorted(grouped.items(), key=lambda item: item[0] != "loss"))


def panel_title(panel: str, curves: Curves) -> str:
    """What a panel is called: of what both sides of a game have, whose it is."""
    whose = "generator " if f"discriminator_{panel}" in curves else ""
    return whose + panel.replace("_", " ")


def draw_curves(curves: Curves, title: str) -> np.ndarray:
    """One panel for each kind of number, loss first, as a picture [H, W, 3] uint8."""
    grouped = panels(list(curves))
    columns = min(3, len(grouped))
    rows = -(-len(grouped) // columns)
    drawn = figure(4.6 * columns, 3.1 * rows + 0.4)
    drawn.suptitle(title)
    axes = np.atleast_1d(drawn.subplots(rows, columns, squeeze=False)).ravel()
    for axis, (panel, names) in zip(axes, grouped.items(), strict=False):
        _draw_panel(axis, panel_title(panel, curves), {name: curves[name] for name in names})
    for axis in axes[len(grouped) :]:
        axis.set_visible(False)
    return pixels(drawn)


def _draw_panel(axis: Any, title: str, lines: Curves) -> None:
    for name, (steps, values) in lines.items():
        marker, label = "o" if len(steps) < 20 else None, BELIEFS.get(name, name.rpartition("/")[2])
        axis.plot(steps, values, label=label, linewidth=1.2, marker=marker, markersize=3)
    if lines.keys() <= BELIEFS.keys() and all(0 <= value <= 1 for _, values in lines.values() for value in values):
        axis.set_ylim(0, 1)  # not so of wgan-gp, whose scores are no beliefs
    elif lines.keys() <= set(BOTTOM):
        axis.set_ylim(bottom=0)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("step", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    if 1 < len(lines) <= MOST_LINES:
        axis.legend(fontsize=8, frameon=False)
