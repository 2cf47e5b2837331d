"""The live panel of a run: its progress, loss and samples, and the buttons to stop and resume it."""

from __future__ import annotations

import time
from pathlib import Path

import streamlit as st

from jaxgen.config import Config
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.metrics import Curves, Tail
from jaxgen.runs.status import Status, config_of, duration, last_written, read_status, sample_sheets
from jaxgen_serve.dashboard.background_jobs import Activity, Jobs, complaint
from jaxgen_serve.dashboard.ui import FID, chart, runs_as_given, runs_folder, show_errors, show_image

EVERY = 0.5  # seconds between updates: what is shown is at most a second old
EXPORT = ".export"  # suffix of the name of a job that exports a run


def watch(name: str) -> None:
    """Show the panel of one run, which updates itself while the run goes on."""
    going_on = Jobs(runs_folder()).activity(name).going_on
    st.fragment(_panel, run_every=EVERY if going_on else None)(name, going_on)


def _panel(name: str, was_going_on: bool) -> None:
    jobs, run = Jobs(runs_folder()), RunFolder(runs_folder() / name)
    activity = jobs.activity(name)
    if activity.going_on != was_going_on:
        st.rerun()  # the run has ended, or was started in a terminal
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
        if FID[0] in curves:
            st.caption("FID of samples, and of test images")
            chart(curve, FID, height=180)
    if newest and right:
        step, sheet = newest
        with right:
            show_image(sheet, f"sampled at step {step:,}")
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
        else:  # a terminal's run over epochs of a dataset of unknown size
            st.markdown(words)
    with button, show_errors():
        _further(jobs, run, now) if done else _button(jobs, run, activity)
    if activity.elsewhere:
        st.caption("It was started in a terminal: stop it there with Ctrl-C, which saves.")
    elif not activity.here and (line := complaint(log)):
        job = jobs.find(run.name)
        box = st.info if job and job.stopping else st.error
        box(line.replace(str(runs_folder()), runs_as_given()))


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
    """The state of a run in one word, and its colour."""
    if activity.stopping:
        return "saving", "orange"
    if activity.going_on:
        return ("training", "green") if now.state == "training" else ("starting", "blue")
    if now.finished:
        return "finished", "violet"
    return ("stopped" if now.total else "not running"), "gray"


def _further(jobs: Jobs, run: RunFolder, now: Status) -> None:
    """The button to train a finished run for longer."""
    with st.popover("Train for longer", icon=":material/add:"):
        total = st.number_input("Steps in all", min_value=now.total + 1, value=2 * now.total, key=f"more {run.name}")
        if st.button("Go on", key=f"further {run.name}"):
            jobs.start(run.name, ["train", "--resume", str(run.path), "--set", f"training.steps={total}"])
            st.rerun()


def _numbers(config: Config | None, curves: Curves) -> None:
    """The other curves, small; only drawn while the expander is open, since each is slow in a browser."""
    others = [name for name in curves if name not in ("loss", "test_loss", *FID) and "/" not in name]
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
    """The newest sheet of samples; read at once, since the run may replace the file."""
    sheets = sample_sheets(run)
    if not sheets:
        return None
    step = max(sheets)
    try:
        return step, sheets[step].read_bytes()
    except OSError:
        return None


def curves_of(run: RunFolder) -> Curves:
    """The curves of a run, by one reader per tab and run, so that only new lines are read."""
    tails = st.session_state.setdefault("tails", {})
    return tails.setdefault(str(run.path), Tail(run.metrics_file)).read()


def newest_log(jobs: Jobs, run: RunFolder, activity: Activity) -> str:
    """The output of a run's job; '' if the run has continued since without the dashboard."""
    return jobs.log(run.name, since=0.0 if activity.here else last_written(run))


def newest_loss(curves: Curves) -> float | None:
    _, losses = curves.get("loss", ([], []))
    return losses[-1] if losses else None


def export_of(run: RunFolder) -> Path:
    """The file to which the dashboard exports a run."""
    return run.path / "model.onnx"


def seconds_since(start: float) -> str:
    """The time since `start`, in words."""
    return duration(max(0, time.time() - start))
