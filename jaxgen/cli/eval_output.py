"""What `jaxgen eval` prints and draws: tables, a plot, a sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxgen.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from jaxgen.evaluation.report import Report, Score

WIDTH = 18  # of the names of scores


def check_places(sheet: Path | None, plot: Path | None) -> None:
    """Raise UsageError or JaxgenError, before any work, for files that cannot be written."""
    from jaxgen.files import check_writable

    for option, path in {"--sheet": sheet, "--plot": plot}.items():
        if path and path.suffix.lower() != ".png":
            raise UsageError(f"{option} takes FILE.png, got {str(path)!r}")
        if path:
            check_writable(path)


def table(report: Report, earlier: Mapping[str, Any] | None = None) -> str:
    """The scores of one evaluation, beside those of an earlier report if there is one."""
    from jaxgen.evaluation.earlier import value

    lines = [f"{'':{WIDTH}} {'value':>10}   {'95 %':>8}   {'floor':>10}" + (f"{'earlier':>12}" if earlier else "")]
    for name, score in report.scores.items():
        margin = "" if math.isnan(score.margin) else f"± {score.margin:8.2g}"
        line = f"{name:{WIDTH}} {score.value:10.4g} {margin:10}   {_number(score.floor):>10}"
        lines.append((line + f"{_number(value(earlier, name)):>12}" if earlier else line).rstrip())
    if math.isfinite(report.fid_infinity):
        lines.append(f"{'fid_infinity':{WIDTH}} {report.fid_infinity:10.4g}")
    return "\n".join([*lines, *_below(report)])


def steps_table(steps: Sequence[int], reports: Sequence[Report]) -> str:
    """The scores of several evaluations, each in a column below its network evaluations, and the floor."""
    head = [f"{'steps':{WIDTH}}", *(f"{number:>16}" for number in steps), f"{'floor':>12}"]
    lines = ["".join(head)]
    for name, first in reports[0].scores.items():
        cells = "".join(f"{_with_margin(report.scores[name]):>16}" for report in reports)
        lines.append(f"{name:{WIDTH}}{cells}{_number(first.floor):>12}".rstrip())
    if math.isfinite(reports[0].fid_infinity):
        lines.append(f"{'fid_infinity':{WIDTH}}" + "".join(f"{report.fid_infinity:16.4g}" for report in reports))
    return "\n".join([*lines, *_below(reports[0])])


def _below(report: Report) -> list[str]:
    """What was compared, and what was left out."""
    real = f"{report.real} training images; floor: {report.floor_n} test images" if report.floor_n else "no test images"
    lines = []
    if likelihood := report.facts.get("likelihood"):
        kind = "black and white pixels" if likelihood["binarized"] else "grey pixels"
        lines.append(
            f"elbo and nll: nats an image, {likelihood['samples']} samples each of {likelihood['images']} test images, "
            f"{likelihood['likelihood']}, {kind}"
        )
    reasons: dict[str, list[str]] = {}
    for name, reason in report.left_out.items():
        reasons.setdefault(reason, []).append(name)
    lines += [f"left out: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return [*lines, f"{report.n} images against {real}; extractor {report.extractor[:12]}"]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _with_margin(score: Score) -> str:
    return f"{score.value:.4g}" + ("" if math.isnan(score.margin) else f" ± {score.margin:.1g}")


def as_json(context: Mapping[str, Any], steps: Sequence[int], reports: Sequence[Report], earlier: Any) -> str:
    """One report, or several with their steps; a report that is compared with an earlier one holds its values."""
    import json

    from jaxgen.evaluation.earlier import value

    if len(reports) > 1:
        several = [{"steps": number, **report.to_dict()} for number, report in zip(steps, reports, strict=True)]
        return json.dumps({**context, "reports": several}, allow_nan=False)
    values = {**context, "steps": steps[0] or None, **reports[0].to_dict()}
    if earlier:
        values["earlier"] = {name: value(earlier, name) for name in reports[0].scores}
    return json.dumps(values, allow_nan=False)


def draw_plot(path: Path, steps: Sequence[int], reports: Sequence[Report], title: str) -> None:
    """The FID of each number of steps, and its floor."""
    from jaxgen.images import save_png
    from jaxgen.plots import draw_score

    scores = [report.scores["fid"] for report in reports]
    image = draw_score(
        steps, [score.value for score in scores], [score.margin for score in scores], scores[0].floor,
        name="FID", title=title,
    )  # fmt: skip
    save_png(path, image)


def draw_sheet(path: Path, images: np.ndarray, ranks: np.ndarray, context: Mapping[str, Any]) -> None:
    """The most typical and the worst images, with what was evaluated in the PNG's text."""
    import json

    from jaxgen.evaluation.sheet import sheet
    from jaxgen.images import save_png

    save_png(path, sheet(images, ranks), {"jaxgen-eval": json.dumps(dict(context))})
