"""A run as it is now: how far it is, its loss, what it draws, and the buttons to stop it and to go on."""

from __future__ import annotations

import time
from pathlib import Path

import streamlit as st

from jaxgen.config import Config
from jaxgen.plots import Curves
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.metrics import Tail
from jaxgen.runs.status import Status, config_of, last_written, read_status, sample_sheets
from jaxgen_serve.dashboard.background_jobs import Activity, Jobs, complaint
from jaxgen_serve.dashboard.ui import chart, runs_folder, show_image, told

EVERY = 0.5  # seconds between looks: what is shown is at most a second old
EXPORT = ".export"  # what the name of a job that exports a run ends with


def watch(name: str) -> None:
    """The panel of one run, which renews itself while the run goes on."""
    going_on = Jobs(runs_folder()).activity(name).going_on
    st.fragment(_panel, run_every=EVERY if going_on else None)(name, going_on)


def _panel(name: str, was_going_on: bool) -> None:
    jobs, run = Jobs(runs_folder()), RunFolder(runs_folder() / name)
    activity = jobs.activity(name)
    if activity.going_on != was_going_on:
        st.rerun()  # it has ended, and the page stops looking; or it was started in a terminal
    log = newest_log(jobs, run, activity)
    curves, config = curves_of(run), config_of(run)
    _headline(jobs, run, read_status(run, curves), activity, log, newest_loss(curves))
    shown = [key for key in ("loss", "test_loss") if key in curves]
    if not shown:
        if activity.going_on:
            st.caption("The first numbers come once the network is compiled, which takes some seconds.")
        return
    newest, curve = _newest(run), {name: curves}
    left, right = st.columns([3, 2], gap="medium") if newest else (st.container(), None)
    with left:
        chart(curve, shown)
    if newest and right:
        step, sheet = newest
        with right:
            show_image(sheet, f"drawn at step {step:,}")
    _numbers(config, curves)


def _headline(
    jobs: Jobs, run: RunFolder, now: Status, activity: Activity, log: str, loss: float | None
) -> None:  # fmt: skip
    state, colour = state_of(now, activity)
    done = now.finished and not activity.going_on
    bar, button = (st.container(), st.container()) if done else st.columns([4, 1], vertical_alignment="bottom")
    of = f" of {now.total:,}" if now.total else ""
    details = [f"step {now.step:,}{of}", loss is not None and f"loss {loss:.4g}"]
    if activity.going_on and now.images_per_second is not None and now.seconds_left is not None:
        details += [f"{now.images_per_second:,.0f} images/s", f"{duration(now.seconds_left)} left"]
    with bar:
        words = f":{colour}-badge[{state}] &nbsp;" + " · ".join(detail for detail in details if detail)
        if now.total or not now.step:
            st.progress(now.share, text=words)
        else:  # epochs of a set whose size is not known, from a terminal
            st.markdown(words)
    with button, told():
        _further(jobs, run, now) if done else _button(jobs, run, activity)
    if activity.elsewhere:
        st.caption("It was started in a terminal: stop it there with Ctrl-C, which saves.")
    elif not activity.here and (line := complaint(log)):
        said = st.info if line.startswith("interrupted") else st.error
        said(line.replace(str(run.path), run.name).partition("; go on with")[0])


def _button(jobs: Jobs, run: RunFolder, activity: Activity) -> None:
    if activity.here and st.button(
        "Stop", icon=":material/stop:", disabled=activity.stopping, key=f"stop {run.name}", width="stretch"
    ):
        jobs.stop(run.name)
        st.rerun(scope="fragment")
    may_go_on = run.exists() and not activity.going_on
    if may_go_on and st.button("Resume", icon=":material/resume:", key=f"resume {run.name}", width="stretch"):
        jobs.start(run.name, ["train", "--resume", str(run.path)])
        st.rerun()


def state_of(now: Status, activity: Activity) -> tuple[str, str]:
    """In a word, and its colour."""
    if activity.stopping:
        return "saving", "orange"
    if activity.going_on:
        return ("training", "green") if now.state == "training" else ("starting", "blue")
    if now.finished:
        return "finished", "violet"
    return ("stopped" if now.total else "not running"), "gray"


def _further(jobs: Jobs, run: RunFolder, now: Status) -> None:
    """A finished run may be trained for longer."""
    with st.popover("Train for longer", icon=":material/add:"):
        total = st.number_input("Steps in all", min_value=now.total + 1, value=2 * now.total, key=f"more {run.name}")
        if st.button("Go on", key=f"further {run.name}"):
            jobs.start(run.name, ["train", "--resume", str(run.path), "--set", f"training.steps={total}"])
            st.rerun()


def _numbers(config: Config | None, curves: Curves) -> None:
    """The other curves, small, by kind; drawn only while somebody looks, for a browser takes its time over each."""
    others = [name for name in curves if name not in ("loss", "test_loss") and "/" not in name]
    if not others:
        return
    expander = st.expander("Other curves", on_change="rerun", key="other curves")
    if not expander.open:
        return
    columns = expander.columns(3)
    for number, name in enumerate(others):
        with columns[number % 3]:
            st.caption(name.replace("_", " "))
            chart({"": {name: curves[name]}}, [name], height=130)


def _newest(run: RunFolder) -> tuple[int, bytes] | None:
    """The newest sheet, read at once: the run may replace it."""
    sheets = sample_sheets(run)
    if not sheets:
        return None
    step = max(sheets)
    try:
        return step, sheets[step].read_bytes()
    except OSError:
        return None


def curves_of(run: RunFolder) -> Curves:
    """What it has written, by one reader a tab and run, so that only what is new is read."""
    tails = st.session_state.setdefault("tails", {})
    return tails.setdefault(str(run.path), Tail(run.metrics_file)).read()


def newest_log(jobs: Jobs, run: RunFolder, activity: Activity) -> str:
    """What its job prints, or printed; '' if it has gone on since without the dashboard."""
    return jobs.log(run.name, since=0.0 if activity.here else last_written(run))


def newest_loss(curves: Curves) -> float | None:
    _, losses = curves.get("loss", ([], []))
    return losses[-1] if losses else None


def export_of(run: RunFolder) -> Path:
    """Where the dashboard exports a run to."""
    return run.path / "model.onnx"


def seconds_since(start: float) -> str:
    """In words."""
    return duration(max(0, time.time() - start))


def duration(seconds: float) -> str:
    """In words."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
