"""What a run's folder says of the run, against files written by hand."""

import json
import os

import pytest

from jaxgen import config as configs
from jaxgen.config import presets
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.status import (
    Checkpoint,
    Status,
    read_status,
    runs_in,
    sample_sheets,
    saved_checkpoints,
    sheet_kinds,
    write_status,
)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text(configs.dumps(presets.preset("ddpm-digits")))
    return RunFolder(folder)


def test_status_reads_back_equal(run):
    written = Status(state="training", step=20, total=3000, images_per_second=93.5, seconds_left=40.0)
    write_status(run, written)
    assert read_status(run, {}) == written
    assert (written.share, written.finished) == (20 / 3000, False)


def test_curves_that_are_ahead_of_the_status_count(run):
    """Both are written one after the other, and a crash may fall between them."""
    write_status(run, Status(state="training", step=20, total=3000))
    assert read_status(run, {"loss": ([10, 30], [2.0, 1.0])}).step == 30


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"state": "training"}'])
def test_status_of_a_run_that_lacks_a_whole_file_is_read_from_its_curves_and_config(run, text):
    if text is not None:
        run.status_file.write_text(text)
    status = read_status(run, {"loss": ([50, 1650], [30.0, 20.0]), "lr": ([50], [0.1])})
    assert (status.step, status.total, status.state) == (1650, 3000, "stopped")


def test_total_of_a_run_in_epochs_without_a_status_is_not_known(run):
    run.config_file.write_text(configs.dumps(presets.preset("vae-digits")))
    status = read_status(run, {"loss": ([3300], [20.0])})
    assert (status.total, status.finished, status.share) == (0, False, 0.0)


def test_broken_config_is_no_error(run):
    run.config_file.write_text("broken")
    assert read_status(run, {}) == Status(state="stopped", step=0, total=0)


def test_sheets_are_listed_by_kind_and_step(run):
    run.samples.mkdir()
    for name in ("00000020.png", "00000100.png", "00000100-latents.png", "notes.png", "00000100.png.tmp"):
        (run.samples / name).touch()
    assert list(sample_sheets(run)) == [20, 100]
    assert sample_sheets(run, "latents") == {100: run.samples / "00000100-latents.png"}
    assert sheet_kinds(run) == ["", "latents"]


def test_checkpoints_have_their_score_and_size(run):
    for step, seal in (("5", {"score": 0.25, "fid": 3.5}), ("10", {"score": None})):
        folder = run.checkpoints / step
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(100))
        (folder / "jaxgen.json").write_text(json.dumps(seal))
    (run.checkpoints / "7.orbax-checkpoint-tmp").mkdir()
    sizes = {int(path.parent.name): 100 + path.stat().st_size for path in run.checkpoints.glob("*/jaxgen.json")}
    found = sorted(saved_checkpoints(run), key=lambda point: point.step)
    assert found == [
        Checkpoint(step=5, score=0.25, size=sizes[5], fid=3.5),
        Checkpoint(step=10, score=None, size=sizes[10]),
    ]


def test_runs_are_listed_newest_first(run, tmp_path):
    older = tmp_path / "older"
    older.mkdir()
    (older / "config.toml").write_text("")
    os.utime(older / "config.toml", (1, 1))
    (tmp_path / "no run").mkdir()
    assert [folder.name for folder in runs_in(tmp_path)] == ["run", "older"]
