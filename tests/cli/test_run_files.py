"""A run folder where a model file is expected: exported once for each checkpoint, into the user's cache."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from jaxgen import shipped
from jaxgen.cli import run_files
from jaxgen.config.presets import preset
from jaxgen.errors import JaxgenError
from jaxgen.runs.folder import SEAL, RunFolder
from jaxgen.runs.status import newest_checkpoint_hash

MODEL = shipped.model("cvae-digits")


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A run with two checkpoints by name, without weights."""
    made = RunFolder(tmp_path / "runs" / "mine")
    made.write(preset("cvae-digits"), None, [str(number) for number in range(10)])
    for step in (3, 20):
        seal(made, step)
    return made


def seal(run: RunFolder, step: int, score: float = 1.0) -> None:
    folder = run.checkpoints / f"{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SEAL).write_text(json.dumps({"step": step, "score": score, "files": {}}))


@pytest.fixture
def exports(monkeypatch):
    """The exports that were asked for; each gives the shipped model and its encoder."""
    asked = []

    def export(command, **_):
        asked.append(command)
        output = Path(command[-1])
        shutil.copy(MODEL, output)
        shutil.copy(MODEL.with_suffix(".encoder.onnx"), output.with_suffix(".encoder.onnx"))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(run_files.subprocess, "run", export)
    return asked


COMMANDS = {
    "sample": ("RUN", "-n", 2, "-o", "a.png"),
    "info": ("RUN",),
    "verify": ("RUN",),
    "bench": ("RUN", "--batch-sizes", 1, "--repeats", 1, "--only-onnxruntime"),
    "latent traverse": ("RUN", "--frames", 2, "--dimensions", 0, "-o", "b.png"),
}


def test_every_command_of_a_model_takes_a_run_and_exports_it_once(command, run, exports, tmp_path):
    for name, words in COMMANDS.items():
        given = [run.path if word == "RUN" else word for word in words]
        outcome = command(*name.split(), *given)
        assert outcome.code == 0, outcome
        said = outcome.err.count(f"exporting {run.path}, once for this checkpoint\n")
        assert said == (1 if name == "sample" else 0)
    (asked,) = exports
    assert asked[1:5] == ["-m", "jaxgen", "export", str(run.path)]
    place = tmp_path / "cache" / "jaxgen" / "exports" / newest_checkpoint_hash(run)[:16]
    assert sorted(path.name for path in place.iterdir()) == ["mine.encoder.onnx", "mine.onnx"]
    assert [path.name for path in place.parent.iterdir()] == [place.name]  # and nothing that was left behind
    assert command("replay", "a.png", "--model", run.path).out == "identical: every pixel\n"


def test_run_is_served_by_its_name(command, run, exports, monkeypatch):
    from jaxgen_serve import server

    served = []
    monkeypatch.setattr(server, "serve", lambda settings, models, **_: served.extend(models))
    assert command("serve", run.path, MODEL, "cvae-mnist").code == 0
    assert Path(served[0]).name == "mine.onnx" and served[1:] == [str(MODEL), "cvae-mnist"]


def test_new_checkpoint_or_config_is_exported_anew_and_an_old_one_is_not(command, run, exports):
    command("info", run.path)
    seal(run, 21)
    command("info", run.path)
    run.write(preset("cvae-digits"), None, [*"abcdefghij"])
    command("info", run.path)
    assert len(exports) == 3
    command("info", run.path)
    shutil.rmtree(run.checkpoints / "00000003")  # retired: the newest is what counts
    command("info", run.path)
    assert len(exports) == 3


def test_hash_of_a_run_is_that_of_its_newest_checkpoint(run):
    before = newest_checkpoint_hash(run)
    assert len(before) == 64 and before == newest_checkpoint_hash(run)
    seal(run, 3, score=0.5)
    assert newest_checkpoint_hash(run) == before
    seal(run, 20, score=0.5)
    assert newest_checkpoint_hash(run) != before
    shutil.rmtree(run.checkpoints)
    with pytest.raises(JaxgenError, match="no checkpoint yet; train it first: jaxgen train --resume"):
        newest_checkpoint_hash(run)


def test_failed_export_ends_the_command_with_its_code_and_leaves_nothing(command, run, monkeypatch, tmp_path):
    monkeypatch.setattr(
        run_files.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 3)
    )  # fmt: skip
    outcome = command("sample", run.path, "-o", "a.png")
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == f"exporting {run.path}, once for this checkpoint\n"  # the other process says why
    assert list((tmp_path / "cache" / "jaxgen" / "exports").iterdir()) == [] and not Path("a.png").exists()


def test_without_the_extra_the_one_command_is_named(refused, run, exports, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    line = refused(4, "sample", run.path)
    assert "needs torch, which is not installed" in line
    assert line.endswith(f"run: jaxgen export {run.path} -o mine.onnx") and exports == []


def test_options_are_checked_before_minutes_of_exporting(refused, run, exports):
    for options in (("-o", "a.bmp"), ("--steps", 0), ("-n", 4097, "-o", "a.png"), ("--gif", "-o", "a.png")):
        refused(2, "sample", run.path, *options)
    assert exports == []


@pytest.mark.slow
def test_run_that_was_trained_is_sampled(jaxgen, small, tmp_path):
    from jaxgen.training.trainer import train

    train(small, tmp_path / "mine")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    for _ in range(2):
        done = jaxgen("sample", tmp_path / "mine", "-n", 2, "-o", tmp_path / "a.png", **cache)
        assert done.returncode == 0, done.stderr
    assert "exporting" not in done.stderr and (tmp_path / "a.png").exists()
