"""jaxgen runs: what it says of each run; and how long jaxgen presets and train say that a run takes here."""

import json
import os

import pytest

from jaxgen.config.presets import preset
from jaxgen.runs import speed
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.status import Status, write_status


def make(folder, name, *, state="stopped", step=5, total=10, metrics=(), sheets=(), age=0) -> RunFolder:
    run = RunFolder(folder / name)
    run.write(preset("ddpm-digits"), None)
    write_status(run, Status(state=state, step=step, total=total, images_per_second=8.0, seconds_left=300.0))
    run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in metrics))
    for number in sheets:
        (run.samples / f"{number:08d}.png").touch()
    when = 1_700_000_000 - age
    for file in (run.metrics_file, run.config_file):
        os.utime(file, (when, when))
    return run


@pytest.fixture
def folder(tmp_path):
    runs = tmp_path / "runs"
    scores = [{"step": 3, "test_loss": 0.5, "eval_fid": 12.5}, {"step": 5, "test_loss": 0.25, "eval_fid": 14}]
    make(runs, "scored", state="finished", step=10, metrics=scores, sheets=(3, 10, 9), age=1)
    make(runs, "killed", state="training", metrics=[{"step": 5, "test_loss": 0.125}], age=2)
    make(runs, "new", state="starting", step=0, total=0, age=3)
    (runs / "something else").mkdir()
    return runs


def test_runs_are_listed_with_state_step_score_and_images(command, folder):
    rows = [line.split("  ") for line in command("runs").out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0] == ["RUN", "STATE", "STEP", "SCORE", "WRITTEN", "LAST IMAGES"]
    names = [row[:4] + row[5:] for row in cells[1:]]
    assert names == [
        ["runs/scored", "finished", "10 of 10", "FID 12.5", "runs/scored/samples/00000010.png"],
        ["runs/killed", "stopped", "5 of 10", "test loss 0.125", "none yet"],
        ["runs/new", "stopped", "0", "none yet", "none yet"],
    ]


def test_run_that_a_process_has_open_trains_and_has_time_left(command, folder):
    run = RunFolder(folder / "killed")
    with run.locked():
        assert not run.is_free()
        assert "runs/killed  training, 5 min left  5 of 10" in command("runs").out
        (said,) = (row for row in json.loads(command("runs", "--json").out) if row["run"] == "runs/killed")
    assert said["seconds_left"] == 300.0 and run.is_free()


def test_runs_as_json(command, folder):
    said = json.loads(command("runs", folder, "--json").out)
    assert said[0] == {
        "run": str(folder / "scored"), "state": "finished", "step": 10, "total": 10, "seconds_left": None, "fid": 12.5,
        "test_loss": 0.25, "written": 1_699_999_999.0, "images": str(folder / "scored/samples/00000010.png"),
    }  # fmt: skip


def test_folder_without_runs_is_one_line(refused, tmp_path):
    assert refused(2, "runs") == "runs: no such folder; 'jaxgen train' makes one"
    (tmp_path / "runs").mkdir()
    assert refused(2, "runs") == "runs: holds no run; 'jaxgen train' makes one"


# --- how long it takes


def measured(folder, config, rate, total) -> RunFolder:
    run = RunFolder(folder / config.name)
    run.write(config, None)
    write_status(run, Status(state="finished", step=total, total=total))
    lines = [{"step": step, "loss": 1.0, "images_per_second": rate * share} for step, share in enumerate((0.1, 1, 1.2))]
    run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_presets_say_how_long_they_take_where_they_were_trained(command, tmp_path):
    """3,000 steps of 128 images at 640 images/s: 600 s. 300 epochs of 11 steps of 128 at 1,408 a second: 300 s."""
    assert "here" not in command("presets").out
    for name, rate, total in (("ddpm-digits", 640, 3000), ("vae-digits", 1408, 3300)):
        speed.remember(preset(name), measured(tmp_path, preset(name), rate, total))
    said = {line.split()[0]: line for line in command("presets").out.splitlines()}
    assert said["ddpm-digits"].endswith(" 3,000 steps  about 10 min here")
    assert said["vae-digits"].endswith(" 300 epochs   about 5 min here")
    assert sum("here" in line for line in said.values()) == 2


def test_training_says_before_it_starts_how_long_it_takes(command, asked, tmp_path):
    config = preset("ddpm-digits")
    arguments = ("train", "--preset", "ddpm-digits")
    assert command(*arguments).err == ""
    speed.remember(config, measured(tmp_path, config, 640, 3000))
    assert command(*arguments).err == "ddpm-digits takes about 10 min here, by the speed of an earlier run\n"
    for setting, words in (("training.steps=300", "about 60 s here"), ("training.lr=0.1", "about 10 min here")):
        assert words in command(*arguments, "--set", setting).err
    assert command(*arguments, "--set", "training.batch_size=64").err == ""  # of another speed


def test_training_remembers_its_speed(command, asked, tmp_path, monkeypatch):
    from jaxgen.training import trainer

    config = preset("ddpm-digits")
    monkeypatch.setattr(trainer, "train", lambda *_, **__: measured(tmp_path / "runs", config, 640, 3000).path)
    command("train", "--preset", "ddpm-digits")
    assert speed.remembered(config) == (640, None)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"KEY": 3}', '{"KEY": ["fast", null]}', '{"KEY": [0, null]}'])
def test_broken_memory_is_none(command, tmp_path, content):
    config = preset("ddpm-digits")
    speed.remember(config, measured(tmp_path, config, 640, 3000))
    (file,) = (tmp_path / "cache" / "jaxgen").iterdir()
    (key,) = json.loads(file.read_text())
    file.write_text(content.replace("KEY", key))
    assert speed.remembered(config) is None
    speed.remember(config, measured(tmp_path, config, 320, 3000))
    assert speed.remembered(config).images_per_second == 320
