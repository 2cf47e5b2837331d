"""What the dashboard says of runs that go on, have ended or were left: the same words on every page."""

import fcntl
import json
import os
import re
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from jaxgen import config as configs
from jaxgen.config import presets
from jaxgen_serve.dashboard.background_jobs import Jobs

INTERRUPTED = "jaxgen: interrupted, saved at step 21; go on with: jaxgen train --resume runs/x\n"
PAGE = "from jaxgen_serve.dashboard.views import {0}\n{0}.page()"


@pytest.fixture
def page(monkeypatch, tmp_path):
    """page(name): that page, on the runs in tmp_path, without an exception."""

    def run(name: str) -> AppTest:
        monkeypatch.setenv("JAXGEN_RUNS", str(tmp_path))
        monkeypatch.setenv("JAXGEN_HOME", str(tmp_path / "home"))
        app = AppTest.from_string(PAGE.format(name), default_timeout=60).run()
        assert not app.exception and not app.error
        return app

    return run


def make_run(path: Path, preset: str, *changes: str, step: int = 0, **status: object) -> Path:
    """A run's folder as a training leaves it; status: what it says of itself, nothing in one of an earlier jaxgen."""
    path.mkdir()
    (path / "config.toml").write_text(configs.dumps(configs.override(presets.preset(preset), changes)))
    (path / "metrics.jsonl").write_text(json.dumps({"step": step, "loss": 0.5}) + "\n" if step else "")
    if status:
        written = {"state": "stopped", "step": step, "images_per_second": None, "seconds_left": None} | status
        (path / "status.json").write_text(json.dumps(written))
    return path


def make_job(runs: Path, name: str, log: str, *, stopping: bool = False) -> Path:
    """What a job of the dashboard's leaves: its record and its log."""
    (runs / ".dashboard").mkdir(exist_ok=True)
    record = {"name": name, "pid": os.getpid(), "started": time.time(), "command": ["jaxgen"], "stopping": stopping}
    (runs / f".dashboard/{name}.json").write_text(json.dumps(record))
    file = runs / f".dashboard/{name}.log"
    file.write_text(log)
    return file


@contextmanager
def locked(path: Path):
    """As long as a process that trains there is alive."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@pytest.fixture
def runs(tmp_path):
    """name -> the state it is in."""
    make_run(tmp_path / "in-steps", "ddpm-digits", step=3000)
    make_run(tmp_path / "in-epochs", "vae-digits", step=3300, total=3300, state="finished")
    make_run(tmp_path / "half", "vae-digits", step=1650, total=3300)
    make_run(tmp_path / "of-a-folder", "vae-digits", "data.dataset=folder:holiday", step=3300)
    make_run(tmp_path / "lost-config", "vae-digits", step=10).joinpath("config.toml").write_text("broken")
    with ExitStack() as stack:
        for name, step, state in (("in-terminal", 20, "training"), ("begun-there", 0, "starting")):
            stack.enter_context(locked(make_run(tmp_path / name, "ddpm-digits", step=step, total=3000, state=state)))
        for name, state, stopping in (
            ("here", "training", False),
            ("resumed", "starting", False),
            ("ending", "training", True),
        ):
            make_run(tmp_path / name, "ddpm-digits", step=20, total=3000, state=state)
            stack.enter_context(locked(make_job(tmp_path, name, "", stopping=stopping)))
        yield {
            "in-steps": "finished", "in-epochs": "finished", "half": "stopped", "of-a-folder": "not running",
            "lost-config": "not running", "in-terminal": "training", "begun-there": "starting", "here": "training",
            "resumed": "starting", "ending": "saving",
        }  # fmt: skip


def test_table_and_train_page_say_the_same_of_every_run(runs, page):
    table = page("runs").dataframe[0].value.set_index("run")
    assert table["state"].to_dict() == runs
    begun = dict.fromkeys(["in-terminal", "here", "resumed", "ending"], 20 / 3000)
    known = {"in-steps": 1, "in-epochs": 1, "half": 0.5, "begun-there": 0, **begun}
    assert table["progress"].dropna().to_dict() == pytest.approx(known)
    app = page("train")
    for name, state in runs.items():
        app.selectbox(key="watched").set_value(name).run()
        assert not app.exception and not app.error
        shown = [bar.proto.text for bar in app.get("progress")] + [text.value for text in app.markdown]
        assert [found[1] for text in shown if (found := re.search(r"-badge\[(.+?)\]", text))] == [state], name


def test_word_of_a_job_that_ended_goes_once_the_run_went_on_in_a_terminal(page, tmp_path):
    run = make_run(tmp_path / "x", "ddpm-digits", step=21)
    log = make_job(tmp_path, "x", INTERRUPTED, stopping=True)
    assert [f"jaxgen: {info.value}\n" for info in page("train").info] == [INTERRUPTED]
    (run / "metrics.jsonl").write_text('{"step": 3000, "loss": 0.4}\n')
    os.utime(log, (time.time() - 60, time.time() - 60))
    app = page("train")
    assert not app.info
    assert "[finished]" in app.get("progress")[0].proto.text


def test_finished_run_is_trained_for_longer_whatever_its_last_job_reported(page, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Jobs, "start", lambda jobs, name, words: asked.append((name, words)))
    make_run(tmp_path / "x", "vae-digits", step=3300, total=3300, state="finished")
    make_job(tmp_path, "x", INTERRUPTED, stopping=True)
    app = page("train")
    assert app.number_input(key="more x").value == 6600
    app.number_input(key="more x").set_value(4000).run()
    app.button(key="further x").click().run()
    assert asked == [("x", ["train", "--resume", str(tmp_path / "x"), "--set", "training.steps=4000"])]


def test_export_under_way_is_not_shown_as_done(page, tmp_path):
    make_run(tmp_path / "x", "vae-digits", step=3300)
    with locked(make_job(tmp_path, "x.export", "tracing the network\n")):
        app = page("runs")
        assert [(info.value.partition(" for ")[0], info.icon) for info in app.info] == [("Exporting", "spinner")]
        assert not app.get("status")  # which ends in a check mark


@pytest.mark.parametrize(("preset", "said"), [("vae-digits", "Nothing yet."), ("classifier-digits", "no samples")])
def test_run_without_images_says_whether_there_will_be_some(preset, said, page, tmp_path):
    make_run(tmp_path / "x", preset, step=20)
    assert any(said in caption.value for caption in page("runs").caption)


def test_tensorboard_is_given_the_folder_as_it_was_named(page, tmp_path, monkeypatch):
    make_run(tmp_path / "x", "vae-digits")
    app = page("runs")
    assert f"tensorboard --logdir {tmp_path}" in app.code[-1].value
    (tmp_path / "my runs").mkdir()
    make_run(tmp_path / "my runs/y", "vae-digits")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXGEN_RUNS", "my runs")
    app = app.run()
    assert app.dataframe[0].value["run"].tolist() == ["y"]
    assert app.code[-1].value.endswith("tensorboard --logdir 'my runs'")
    assert str(tmp_path) not in app.code[-1].value


def test_folder_of_images_without_a_path_is_not_the_folder_one_stands_in(page):
    app = page("train")
    app.selectbox(key="dataset").set_value("folder of images").run()
    for path, buttons in (("", []), ("  ", []), ("holiday", ["Start training"])):
        app.text_input(key="folder").set_value(path).run()
        assert not app.exception and not app.error
        assert [button.label for button in app.button] == buttons
