"""A run as it is now: how far it is, its loss, what it draws, and the buttons to stop it and to go on."""

from __future__ import annotations

import time

import streamlit as st

from jaxgen.config import Config
from jaxgen.curves import Curves
from jaxgen_serve.dashboard.look import chart, picture, runs_folder, told
from jaxgen_serve.dashboard.processes import Jobs, complaint, is_locked
from jaxgen_serve.dashboard.progress import Progress, Run, Tail, progress

EVERY = 0.5  # seconds between looks: what is shown is at most a second old
EXPORT = ".export"  # what the name of a job that exports a run ends with


def watch(name: str) -> None:
    """The panel of one run, which renews itself while the run goes on."""
    jobs, run = Jobs(runs_folder()), Run(runs_folder() / name)
    active = jobs.running(name)
    elsewhere = not active and is_locked(run.path)
    st.fragment(_panel, run_every=EVERY if active or elsewhere else None)(name, active or elsewhere)


def _panel(name: str, was_active: bool) -> None:
    jobs, run = Jobs(runs_folder()), Run(runs_folder() / name)
    active, log = jobs.running(name), jobs.log(name)
    elsewhere = was_active and not active and is_locked(run.path)
    if was_active and not (active or elsewhere):
        st.rerun()  # it has ended: the page stops looking
    curves, config = _tail(run).read(), run.config()
    now = progress(config, curves, log)
    _headline(jobs, run, now, active, elsewhere, log)
    shown = [key for key in ("loss", "test_loss") if key in curves]
    if not shown:
        if active:
            st.caption("The first numbers come once the network is compiled, which takes some seconds.")
        return
    newest, curve = _newest(run), {name: curves}
    left, right = st.columns([3, 2], gap="medium") if newest else (st.container(), None)
    with left:
        chart(curve, shown)
    if newest and right:
        step, sheet = newest
        with right:
            picture(sheet, f"drawn at step {step:,}")
    _numbers(config, curves)


def _headline(jobs: Jobs, run: Run, now: Progress, active: bool, elsewhere: bool, log: str) -> None:
    job = jobs.find(run.name)
    stopping = active and job is not None and job.stopping
    state, colour = _state(now, active, elsewhere, stopping)
    bar, button = st.columns([4, 1], vertical_alignment="bottom")
    of = f" of {now.total:,}" if now.total else ""
    details = [f"step {now.step:,}{of}", now.loss is not None and f"loss {now.loss:.4g}", active and now.speed,
               active and now.left]  # fmt: skip
    with bar:
        words = f":{colour}-badge[{state}] &nbsp;" + " · ".join(detail for detail in details if detail)
        if now.total or not now.step:
            st.progress(now.share, text=words)
        else:  # a run of epochs from a terminal: nobody said how many steps they are
            st.markdown(words)
    with button, told():
        _button(jobs, run, active, stopping, run.exists() and not (active or elsewhere or now.finished))
    if elsewhere:
        st.caption("It was started in a terminal: stop it there with Ctrl-C, which saves.")
    elif not active and (line := complaint(log)):
        said = st.info if line.startswith("interrupted") else st.error
        said(line.replace(str(run.path), run.name).partition("; go on with")[0])
    elif now.finished:
        _further(jobs, run, now)


def _button(jobs: Jobs, run: Run, active: bool, stopping: bool, may_go_on: bool) -> None:
    if active and st.button("Stop", icon=":material/stop:", disabled=stopping, key=f"stop {run.name}", width="stretch"):
        jobs.stop(run.name)
        st.rerun(scope="fragment")
    if may_go_on and st.button("Resume", icon=":material/resume:", key=f"resume {run.name}", width="stretch"):
        jobs.start(run.name, ["train", "--resume", str(run.path)])
        st.rerun()


def _state(now: Progress, active: bool, elsewhere: bool, stopping: bool) -> tuple[str, str]:
    """In a word, and its colour."""
    if stopping:
        return "saving", "orange"
    if active or elsewhere:
        return ("training", "green") if now.step else ("starting", "blue")
    if now.finished:
        return "finished", "violet"
    return ("stopped" if now.total else "not running"), "gray"


def _further(jobs: Jobs, run: Run, now: Progress) -> None:
    """A finished run may be trained for longer."""
    with st.popover("Train for longer", icon=":material/add:"):
        total = st.number_input("Steps in all", min_value=now.total + 1, value=2 * now.total, key=f"more {run.name}")
        with told():
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


def _newest(run: Run) -> tuple[int, bytes] | None:
    """The newest sheet, read at once: the run may replace it."""
    sheets = run.samples()
    if not sheets:
        return None
    step = max(sheets)
    try:
        return step, sheets[step].read_bytes()
    except OSError:
        return None


def _tail(run: Run) -> Tail:
    """One reader a tab and run, so that only what is new is read."""
    tails = st.session_state.setdefault("tails", {})
    return tails.setdefault(str(run.path), Tail(run.path / "metrics.jsonl"))


def seconds_since(start: float) -> str:
    """In words."""
    seconds = max(0, time.time() - start)
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
