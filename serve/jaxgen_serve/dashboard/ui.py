"""What all dashboard pages share: the runs folder, error boxes, titles, images and curves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import streamlit as st

from jaxgen.errors import JaxgenError
from jaxgen.runs.metrics import Curves
from jaxgen_serve.dashboard.streamlit_options import RUNS_VARIABLE

WIDE = 20  # ratio of largest to smallest above which curves are drawn on a logarithmic axis
MOST_POINTS = 400  # of a drawn curve: about one per pixel
FID = ("eval_fid", "eval_fid_floor")  # the curves of a run that is evaluated while it trains
NAMES = {"loss": "training", "test_loss": "test", "eval_fid": "FID", "eval_fid_floor": "FID of test images"}


def runs_as_given() -> str:
    """The runs folder as given to `jaxgen dashboard --runs`, relative to where that was started."""
    return os.environ.get(RUNS_VARIABLE) or "runs"


def runs_folder() -> Path:
    """The runs folder as an absolute path."""
    return Path(runs_as_given()).absolute()


@contextmanager
def show_errors() -> Iterator[None]:
    """Show a JaxgenError as one line on the page, with the message that the command would print."""
    try:
        yield
    except JaxgenError as err:
        st.error(str(err), icon=":material/error:")


def title(name: str, what: str) -> None:
    st.title(name, anchor=False)
    st.caption(what)


def show_image(image: Any, caption: str | list[str] | None = None, *, width: Any = "stretch") -> None:
    """Show images as PNG, since Streamlit would send JPEGs."""
    st.image(image, caption=caption, width=width, output_format="PNG")


def chart(lines: Mapping[str, Curves], names: Sequence[str], *, height: int = 300) -> None:
    """Draw curves of one or more runs, by the run's name; names: which metrics."""
    rows = []
    for run, curves in lines.items():
        for name in names:
            steps, values = curves.get(name, ([], []))
            called = NAMES.get(name, name.replace("_", " "))
            called = called if len(lines) == 1 else run if len(names) == 1 else f"{run}, {called}"
            keep = np.unique(np.linspace(0, len(steps) - 1, MOST_POINTS).astype(int)) if steps else ()
            rows += [{"step": steps[i], "value": values[i], "curve": called} for i in keep]
    rows = [row for row in rows if np.isfinite(row["value"])]
    if len(rows) < 2:
        st.caption("Too few numbers yet to draw a curve.")
        return
    values = [row["value"] for row in rows]
    logarithmic = 0 < WIDE * min(values) < max(values)
    several = len({row["curve"] for row in rows}) > 1
    figure = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=alt.OverlayMarkDef(size=18) if len(rows) < 60 else False, strokeWidth=2)
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(tickCount=6, grid=False, labelFlush=False)),
            y=alt.Y(
                "value:Q", title=None, scale=alt.Scale(type="log" if logarithmic else "linear", zero=False, nice=False),
                axis=alt.Axis(tickCount=5),
            ),
            color=alt.Color("curve:N", title=None, legend=alt.Legend(orient="top") if several else None, sort=None),
            tooltip=["curve:N", "step:Q", alt.Tooltip("value:Q", format=".5g")],
        )
        .properties(height=height)
    )  # fmt: skip
    st.altair_chart(figure, width="stretch")
