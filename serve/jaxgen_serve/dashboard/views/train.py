"""The page Train: start a run, watch it, stop it and resume it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import streamlit as st

from jaxgen.config import Config, presets
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.runs.status import runs_in
from jaxgen_serve.dashboard import background_jobs, settings_form
from jaxgen_serve.dashboard.background_jobs import Jobs
from jaxgen_serve.dashboard.ui import runs_folder, show_errors, show_image, title
from jaxgen_serve.dashboard.views import live

FOLDER = "folder of images"
UNTRAINED_SECONDS = 180.0
TITLES = {"data": "Data", "model": "Network", "training": "Training"}


def page() -> None:
    """Show the page."""
    title("Train", "Each run is a process of its own: closing this tab does not stop it.")
    left, right = st.columns([5, 7], gap="large")
    with left, st.container(border=True):
        _new_run()
    with right:
        _watched()


def _new_run() -> None:
    st.subheader("New run", anchor=False)
    dataset = st.selectbox("Dataset", [*settings_form.datasets(), FOLDER], key="dataset")
    if dataset == FOLDER:
        path = st.text_input("Its path on the machine that trains; subfolders are classes", key="folder").strip()
        if not path:  # it would mean the current folder
            return
        dataset = f"folder:{path}"
    names = settings_form.presets_for(dataset)
    own = not names
    names = names or presets.model_names()
    chosen = st.selectbox("Model" if own else "Preset", names, index=_usual(names), key=f"preset of {dataset}")
    with show_errors():
        config = settings_form.adapted(chosen, dataset) if own else presets.preset(chosen)
        values = _values(config, config.name)
        name = st.text_input("Name of the run", _free_name(config.name), key=f"name of {config.name}")
        start, untrained = st.columns([1, 1])
        changes, problem = _checked(config, values)
        if problem:
            st.error(problem, icon=":material/error:")
        if start.button(
            "Start training", type="primary", icon=":material/play_arrow:", disabled=bool(problem), width="stretch"
        ):
            _start(name, chosen, dataset if own else None, changes)
        if config.is_generator and not own:
            _untrained(untrained, chosen)


def _values(config: Config, prefix: str) -> dict[str, Any]:
    """The widgets' values by key: first the most used settings, and all others in an expander."""
    groups = settings_form.settings(config)
    every = {setting.key: setting for group in groups.values() for setting in group}
    first = [key for key in settings_form.FIRST if key in every]
    values: dict[str, Any] = {}
    for begin in range(0, len(first), 2):
        for column, key in zip(st.columns(2), first[begin : begin + 2], strict=False):
            with column:
                idle = key == "training.epochs" and bool(values.get("training.steps"))
                values[key] = _widget(every[key], prefix, disabled=idle)
    with st.expander("All other settings"):
        tabs = st.tabs([TITLES.get(name, "Method") for name in groups])
        for tab, group in zip(tabs, groups.values(), strict=True):
            columns = tab.columns(2)
            others = [setting for setting in group if setting.key not in first and setting.key != "data.dataset"]
            for number, setting in enumerate(others):
                with columns[number % 2]:
                    values[setting.key] = _widget(setting, prefix)
    return values


def _widget(setting: settings_form.Setting, prefix: str, disabled: bool = False) -> Any:
    meaning = "the steps decide; set them to 0 to count in epochs" if disabled else setting.meaning or None
    named: dict[str, Any] = {"key": f"{prefix} {setting.key}", "help": meaning, "disabled": disabled}
    label = setting.words
    if setting.kind == "choice":
        return st.selectbox(label, setting.choices, index=setting.choices.index(setting.value), **named)
    if setting.kind == "integer":
        return st.number_input(label, value=setting.value, step=1, format="%d", **named)
    if setting.kind == "number":
        return st.number_input(label, value=setting.value, step=setting.value / 10 or 0.01, format="%g", **named)
    return st.text_input(label, setting.value, **named)


def _checked(config: Config, values: dict[str, Any]) -> tuple[list[str], str]:
    """The changes for --set, and the error message if they are invalid."""
    try:
        return settings_form.changes(config, {key: value for key, value in values.items() if value is not None}), ""
    except JaxgenError as err:
        return [], str(err)


def _start(name: str, chosen: str, dataset: str | None, changes: list[str]) -> None:
    runs = runs_folder()
    if (runs / name / "config.toml").exists():
        raise UsageError(f"there is a run {name!r} already: choose another name, or go on with it on the right")
    what = ["--model", chosen, "--dataset", dataset] if dataset else ["--preset", chosen]
    settings = [word for change in changes for word in ("--set", change)]
    Jobs(runs).start(name, ["train", *what, *settings, "--out", str(runs / name)])
    st.session_state["next"] = name
    st.rerun()


def _untrained(place: Any, preset: str) -> None:
    """Sample from an untrained network with a separate command, since nothing here imports JAX."""
    sheets = st.session_state.setdefault("untrained", {})
    if place.button(
        "Sample untrained", icon=":material/casino:", width="stretch", help="Fresh weights, for comparison."
    ):
        with st.spinner("Making a network of fresh weights, which takes half a minute", show_time=True):
            sheets.clear()
            sheets[preset] = _untrained_sheet(preset)
    if preset in sheets:
        show_image(sheets[preset], f"{preset}, untrained: these images mean nothing")


def _untrained_sheet(preset: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "untrained.png"
        words = ["sample", "--preset", preset, "--untrained", "-n", "16", "-o", str(sheet)]
        background_jobs.run(words, deadline=UNTRAINED_SECONDS)
        return sheet.read_bytes()


def _watched() -> None:
    jobs, runs = Jobs(runs_folder()), runs_folder()
    there = [run.name for run in runs_in(runs)]
    started = [name for name in jobs.names() if name not in there and not name.endswith(live.EXPORT)]
    names = [*started, *there]
    if not names:
        st.info("No runs yet. Start one on the left: the digits need no download and take a few minutes.")
        return
    names.sort(key=lambda name: not jobs.running(name))  # running ones come first
    if "next" in st.session_state:
        st.session_state["watched"] = st.session_state.pop("next")
    if st.session_state.get("watched") not in names:
        st.session_state.pop("watched", None)
    name = st.selectbox("Run", names, key="watched")
    with show_errors():
        live.watch(name)


def _free_name(name: str) -> str:
    """The preset's name, with a number if a run of that name exists."""
    taken = {path.name for path in runs_folder().glob("*")}
    candidates = [name, *(f"{name}-{number}" for number in range(2, 1000))]
    return next((candidate for candidate in candidates if candidate not in taken), name)


def _usual(names: list[str]) -> int:
    """The index of the first diffusion model, else 0."""
    by_plan = [key for key, config in presets.PRESETS.items() if config.process]
    usual = (i for i, name in enumerate(names) if any(key == name or key.startswith(f"{name}-") for key in by_plan))
    return next(usual, 0)
