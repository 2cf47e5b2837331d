"""table.md and fid.png of rows that were scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import scoring
from variants import VARIANTS

from jaxgen.images import save_png
from jaxgen.plots import figure, pixels
from jaxgen.runs.metrics import Curves, read_curves

HERE = Path(__file__).parent
COLUMNS = {
    "fid": "FID", "kid": "KID", "precision": "precision", "recall": "recall", "coverage": "coverage",
    "label_accuracy": "label accuracy",
}  # fmt: skip


def write(scores: dict[str, Any], times: dict[str, Any], runs: Path, seconds: float) -> None:
    """scores: the reports of `jaxgen eval`, by row; times: times.json; runs: whose curves are drawn."""
    if not scores:
        return
    (HERE / "table.md").write_text(table(scores, times, seconds))
    curves = {name: fid_of(runs / name, times["rows"][name]["step_seconds"]) for name in VARIANTS if name in scores}
    drawn = {name: curve for name, curve in curves.items() if curve}
    if drawn:
        save_png(HERE / "fid.png", plot(drawn))


def table(scores: dict[str, Any], times: dict[str, Any], seconds: float) -> str:
    """In Markdown, the best FID first."""
    one = next(iter(scores.values()))
    floors = ", ".join(
        f"{title} {value:.3g}" for name, title in COLUMNS.items() if (value := floor(scores, name)) is not None
    )
    order = sorted(scores, key=lambda name: scores[name]["scores"]["fid"]["value"])
    return "\n".join(
        [
            f"{seconds:g} CPU seconds each, timed on {times['machine']} at commit {times['commit']}.",
            f"{one['n']:,} images each, extractor {one['extractor'][:12]}.",
            f"Floor, of {one['floor_n']:,} test images: {floors}.",
            "",
            f"| row | what it changes | parameters | ms a step | steps | {' | '.join(COLUMNS.values())} | images |",
            f"|---|---|{'---:|' * (3 + len(COLUMNS))}---|",
            *(row(name, scores[name], times["rows"][name]) for name in order),
            "",
        ]
    )


def row(name: str, report: dict[str, Any], timed: dict[str, Any]) -> str:
    cells = " | ".join(scoring.number(report, metric) for metric in COLUMNS)
    changes = VARIANTS[name].changes or (VARIANTS[name].preset,)
    return (
        f"| {name} | `{' '.join(changes)}` | {timed['parameters']:,} | {1000 * timed['step_seconds']:.0f} | "
        f"{report['steps']:,} | {cells} | ![{name}](sheets/{name}.png) |"
    )


def floor(scores: dict[str, Any], metric: str) -> float | None:
    """Of the first row that has the metric."""
    found = (report["scores"].get(metric) for report in scores.values())
    return next((score["floor"] for score in found if score), None)


def fid_of(run: Path, step_seconds: float) -> tuple[list[float], list[float]] | None:
    """CPU seconds and FIDs in training; None if the run was not scored in training."""
    curves: Curves = read_curves(run / "metrics.jsonl") if (run / "metrics.jsonl").exists() else {}
    name = next((name for name in curves if name.rpartition("/")[2] == "fid"), None)
    if name is None:
        return None
    steps, values = curves[name]
    return [step * step_seconds for step in steps], values


def plot(curves: dict[str, tuple[list[float], list[float]]]) -> Any:
    """The FID over CPU seconds, as an image [H, W, 3] uint8."""
    drawing = figure(9, 6)
    axis = drawing.subplots()
    for place, (name, (seconds, values)) in enumerate(curves.items()):
        line = ("-", "--", ":", "-.")[place // 10 % 4]
        axis.plot(seconds, values, label=name, color=f"C{place % 10}", linestyle=line)
    axis.set(xlabel="CPU seconds of training", ylabel="FID", yscale="log")
    axis.grid(alpha=0.25)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return pixels(drawing)
