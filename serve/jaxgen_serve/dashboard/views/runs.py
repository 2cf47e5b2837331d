"""The page Runs: all runs, their curves side by side, samples, checkpoints and export."""

from __future__ import annotations

import shlex
import time
from typing import Any

import streamlit as st

from jaxgen.inference.model_file import Artifact
from jaxgen.inference.opening import opened
from jaxgen.inference.verify import verify, worst
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.metrics import Curves
from jaxgen.runs.status import config_of, read_status, runs_in, sample_sheets, saved_checkpoints, sheet_kinds
from jaxgen_serve.dashboard import loading
from jaxgen_serve.dashboard.background_jobs import Jobs, complaint
from jaxgen_serve.dashboard.ui import FID, chart, runs_as_given, runs_folder, show_errors, show_image, title
from jaxgen_serve.dashboard.views.live import EXPORT, curves_of, export_of, newest_loss, seconds_since, state_of

EXPORT_SECONDS = 1800.0  # until an export is stopped
EVERY = 2.0  # seconds between updates of the table
NOTHING = "\N{EN DASH}"  # in a table, for a missing number
MB = 2**20
MOST_COMPARED = 4  # runs that are compared by default


def page() -> None:
    """Show the page."""
    title("Runs", "Compare runs, look at their samples, and export each to one file.")
    runs = runs_in(runs_folder())
    if not runs:
        st.info("No runs yet: start one on the page Train.")
        return
    st.fragment(_table, run_every=EVERY)(runs)
    curves = {run.name: curves_of(run) for run in runs}
    names = [run.name for run in runs]
    _compare(names, _alike(runs), curves)
    st.divider()
    name = st.selectbox("One run in detail", names, key="detailed")
    run = next(run for run in runs if run.name == name)
    left, right = st.columns([1, 1], gap="large")
    with left:
        _samples(run)
        _checkpoints(run)
    with right, show_errors():
        _export(run)
    _tensorboard()


def _table(runs: list[RunFolder]) -> None:
    if set(runs_in(runs_folder())) != set(runs):
        st.rerun()  # to show new runs on the rest of the page
    rows = [_row(run) for run in runs]
    form: dict[str, Any] = {
        "progress": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
        "loss": st.column_config.NumberColumn(format="%.4g"),
        "best test loss": st.column_config.NumberColumn(format="%.4g"),
        "best FID": st.column_config.NumberColumn(format="%.4g"),
    }
    st.dataframe(rows, hide_index=True, column_config=form, width="stretch", placeholder=NOTHING)


def _row(run: RunFolder) -> dict[str, Any]:
    config, curves = config_of(run), curves_of(run)
    now = read_status(run, curves)
    _, tests = curves.get("test_loss", ([], []))
    _, distances = curves.get(FID[0], ([], []))
    return {
        "run": run.name,
        "state": state_of(now, Jobs(runs_folder()).activity(run.name))[0],
        "family": config.family if config else None,
        "dataset": config.data.dataset if config else None,
        "progress": now.share if now.total else None,
        "step": now.step,
        "loss": newest_loss(curves),
        "best test loss": min(tests, default=None),
        "best FID": min(distances, default=None),
        "exported": export_of(run).exists(),
    }


def _compare(runs: list[str], first: list[str], all_curves: dict[str, Curves]) -> None:
    which, what = st.columns([3, 1])
    chosen = which.multiselect("Compare", runs, default=first, key="compared")
    lines = {name: all_curves[name] for name in chosen}
    names = sorted({name for curves in lines.values() for name in curves if "/" not in name})
    if not names:
        return
    name = what.selectbox("Curve", names, index=names.index("loss") if "loss" in names else 0, key="curve")
    scored = {run: curves for run, curves in lines.items() if FID[0] in curves}
    if not scored or name in FID:
        chart(lines, [name], height=280)
        return
    left, right = st.columns(2)
    with left:
        st.caption(name.replace("_", " "))
        chart(lines, [name], height=280)
    with right:
        st.caption("FID of samples" + (", and of test images" if len(scored) == 1 else ""))
        chart(scored, FID if len(scored) == 1 else FID[:1], height=280)


def _alike(runs: list[RunFolder]) -> list[str]:
    """The newest runs with the family and dataset of the newest one."""
    kinds = [(config.family, config.data.dataset) if (config := config_of(run)) else None for run in runs]
    return [run.name for run, kind in zip(runs, kinds, strict=True) if kind == kinds[0]][:MOST_COMPARED]


def _samples(run: RunFolder) -> None:
    st.subheader("Samples during training", anchor=False)
    kinds = sheet_kinds(run)
    if not kinds:
        config = config_of(run)
        st.caption("Nothing yet." if config is None or config.is_generator else "A classifier makes no samples.")
        return
    kind = kinds[0]
    if len(kinds) > 1:
        kind = st.segmented_control(
            "What", kinds, default=kinds[0], required=True, format_func=lambda kind: kind or "samples",
            key=f"kind {run.name}", label_visibility="collapsed",
        )  # fmt: skip
    sheets = sample_sheets(run, kind)
    steps = list(sheets)
    step = steps[-1]
    if len(steps) > 1:
        step = st.select_slider("Step", steps, value=steps[-1], key=f"step {run.name} {kind}")
    show_image(sheets[step].read_bytes(), f"step {step:,}")


def _checkpoints(run: RunFolder) -> None:
    st.subheader("Checkpoints", anchor=False)
    checkpoints = saved_checkpoints(run)
    if not checkpoints:
        st.caption("None yet.")
        return
    rows = [
        {"step": point.step, "test loss": point.score, "FID": point.fid, "size, MB": point.size / MB}
        for point in checkpoints
    ]
    form: dict[str, Any] = {
        "test loss": st.column_config.NumberColumn(format="%.5g"),
        "FID": st.column_config.NumberColumn(format="%.4g"),
        "size, MB": st.column_config.NumberColumn(format="%.1f"),
    }
    st.dataframe(rows, hide_index=True, column_config=form, width="stretch", placeholder=NOTHING)


def _export(run: RunFolder) -> None:
    st.subheader("Export", anchor=False)
    st.caption("One ONNX file that samples the same images anywhere, checked against JAX before it is written.")
    jobs, name = Jobs(runs_folder()), f"{run.name}{EXPORT}"
    active = jobs.running(name)
    steps = [str(point.step) for point in saved_checkpoints(run)]
    which, button = st.columns([2, 1], vertical_alignment="bottom")
    chosen = which.selectbox("Checkpoint", ["last", "best", *steps], key=f"checkpoint {run.name}", disabled=active)
    if button.button(
        "Export", type="primary", icon=":material/deployed_code:", disabled=active or not steps, width="stretch"
    ):
        jobs.start(name, ["export", str(run.path), "-o", str(export_of(run)), "--checkpoint", chosen])
        st.rerun()
    if active:
        st.fragment(_exporting, run_every=1.0)(name)
    elif problem := complaint(jobs.log(name)):
        st.error(problem.replace(str(run.path), run.name))
    if export_of(run).exists() and not active:
        _exported(run)


def _exporting(name: str) -> None:
    jobs = Jobs(runs_folder())
    job = jobs.find(name)
    if job is None or not jobs.running(name):
        st.rerun()
        return
    st.info(f"Exporting for {seconds_since(job.started)}; it takes about a minute.", icon="spinner")
    if time.time() - job.started > EXPORT_SECONDS:
        jobs.stop(name)


def _exported(run: RunFolder) -> None:
    export = export_of(run)
    loaded = loading.load(export, run.name) if _is_generator(run) else None
    file = loaded.model.artifact if loaded else loading.read(export, f"{run.name}.onnx")
    names = [path for path in (export, export.with_suffix(".encoder.onnx")) if path.exists()]
    with st.container(horizontal=True):
        for path in names:
            called = path.name.replace("model", run.name, 1)
            st.download_button(
                f"{called}, {path.stat().st_size / 1e6:.1f} MB", path.read_bytes(), called, on_click="ignore",
                icon=":material/download:", key=f"download {called}",
            )  # fmt: skip
    if loaded:
        loading.describe(loaded)
    _certificate(file)


def _is_generator(run: RunFolder) -> bool:
    config = config_of(run)
    return config is not None and config.is_generator


def _certificate(file: Artifact) -> None:
    st.markdown("**Certificate**: how far other runtimes are from JAX on this model, measured at its export")
    rows = [
        {
            "runtime": backend,
            "one evaluation": f"{row['relative']:.1e} relative",
            "pixels equal": f"{row['identical']:.3%}",
            "off by at most": f"{row['off_by']:g} of 255",
        }
        for backend, row in worst(file.value("certificate", dict)).items()
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    if st.button("Verify here", icon=":material/verified:", help="Sample the certificate's images on this machine."):
        with st.spinner("Sampling the certificate's images", show_time=True):
            result = verify(opened(file))
        (st.success if result["same"] else st.error)(result["line"])


def _tensorboard() -> None:
    with st.expander("TensorBoard"):
        st.caption("Every run also writes its logs. Run this where the dashboard was started:")
        st.code(f"pip install tensorboard\ntensorboard --logdir {shlex.quote(runs_as_given())}", language="console")
