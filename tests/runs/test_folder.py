import dataclasses
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from jaxgen import __version__, config as configs
from jaxgen.config import DDPM, GAN
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.runs.folder import RunFolder, may_change
from jaxgen.training.environment import describe_environment

OTHER = configs.override(DDPM(), ["training.lr=0.5", "training.steps=7"])


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A folder whose run has got to a checkpoint."""
    made = RunFolder(tmp_path / "run")
    made.write(DDPM(), None)
    made.checkpoints.mkdir()
    return made


def test_written_run_gives_its_config_and_data_folder_back(run, tmp_path):
    assert (run.config(), run.data_dir()) == (DDPM(), None)
    run.write(OTHER, Path("relative"), classifier=Path("judge"))
    assert (run.config(), run.data_dir()) == (OTHER, Path("relative").absolute())
    assert run.classifier() == Path("judge").absolute()


def test_colours_of_the_data_are_recorded_and_missing_in_an_earlier_run(run):
    run.write(DDPM(), None, palette=("#000000", "#638596"))
    assert run.palette() == ("#000000", "#638596")
    environment = json.loads(run.environment_file.read_text())
    del environment["palette"]
    run.environment_file.write_text(json.dumps(environment))
    assert run.palette() == ()


def test_environment_holds_what_it_ran_on(run):
    run.write(DDPM(), None, machine=describe_environment())
    environment = json.loads(run.environment_file.read_text())
    assert environment["jaxgen"] == __version__
    assert {"jax", "flax", "optax", "orbax-checkpoint", "numpy"} <= set(environment["packages"])
    assert environment["devices"] and environment["python"].startswith("3.")


def test_same_config_may_go_on_and_another_is_refused_by_its_key_and_values(run):
    run.check(DDPM())
    with pytest.raises(
        UsageError, match=r"training.steps = 0, not 7; choose another --out, or go on with it: .*--resume"
    ):
        run.check(OTHER)


def test_run_without_a_checkpoint_may_be_started_anew(run):
    run.checkpoints.rmdir()
    run.check(OTHER)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_run_is_left_alone(tmp_path, kind):
    place = tmp_path / "mine"
    if kind == "file":
        place.write_text("keep")
    else:
        place.mkdir()
        (place / "thesis.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty and not a run folder; choose another --out"):
        RunFolder(place).check(DDPM())


def test_new_and_empty_folders_are_welcome(tmp_path):
    RunFolder(tmp_path).check(DDPM())
    RunFolder(tmp_path / "a" / "b").check(DDPM())
    assert list(tmp_path.iterdir()) == []


def test_missing_run_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"not a run folder \(no config.toml\)"):
        RunFolder(tmp_path / "nothing").config()


def test_resume_is_advised_for_what_it_takes(tmp_path):
    old, run = GAN(), RunFolder(tmp_path / "gan")
    run.write(old, None)
    run.checkpoints.mkdir()
    for setting, taken in [("gan.loss=hinge", True), ("model.dropout=0.1", True), ("model.latent=3", False)]:
        with pytest.raises(UsageError, match="go on with it") as refusal:
            run.check(configs.override(old, [setting]))
        assert (f"--set {setting}" in str(refusal.value)) == taken


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"data_dir": 3}', "\xff"])
def test_broken_environment_means_no_data_folder(run, content):
    if content is None:
        run.environment_file.unlink()
    else:
        run.environment_file.write_text(content)
    assert run.data_dir() is None


def test_metrics_after_the_step_are_forgotten_and_torn_lines_too(run):
    lines = [
        '{"step": 1, "loss": 3}',
        '{"step": 2, "loss": 2}',
        '{"step": 2, "test_loss": 1}',
        '{"step": 3, "loss": 1}',
    ]
    run.metrics_file.write_text("\n".join([*lines, "7", "[]", '{"loss": 1}', '{"step": 2, "lo']))
    run.forget_after(2)
    assert run.metrics_file.read_text() == "".join(line + "\n" for line in lines[:3])


def test_forgetting_without_metrics_makes_none(run):
    run.forget_after(2)
    assert not run.metrics_file.exists()


def try_to_lock(path, answers):
    try:
        with RunFolder(path).locked():
            answers.put("locked")
    except JaxgenError as err:
        answers.put(str(err))


def test_second_process_may_not_train_in_the_same_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    answers, place = context.Queue(), tmp_path / "new" / "run"

    def other_process() -> str:
        process = context.Process(target=try_to_lock, args=(place, answers))
        process.start()
        process.join()
        return answers.get(timeout=5)

    with RunFolder(place).locked():
        assert other_process() == f"{place}: another process is training here; wait for it, or stop it"
    assert other_process() == "locked"
    assert not place.exists()  # neither a lock file nor an empty folder is left


def test_folder_with_something_in_it_or_of_the_user_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    with RunFolder(tmp_path / "mine").locked():
        pass
    with RunFolder(tmp_path / "run").locked():
        (tmp_path / "run" / "config.toml").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "run"]


def test_data_folder_that_is_not_there_is_refused(jaxgen):
    done = jaxgen("train", "--model", "ddpm", "--data-dir", "/nowhere/at/all")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'/nowhere/at/all' does not exist" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("place", ["file/run", "file"])
def test_folder_that_cannot_be_made_is_one_line(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(JaxgenError, match="cannot be made") as refused, RunFolder(tmp_path / place).locked():
        pytest.fail("locked")
    assert str(tmp_path / place) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(JaxgenError, match="cannot be made"):
        RunFolder(tmp_path).write(DDPM(), None)


def test_paths_lie_in_the_folder():
    run = RunFolder(Path("r"))
    names = [run.config_file, run.environment_file, run.metrics_file, run.checkpoints, run.samples, run.tensorboard]
    assert [path.name for path in names] == [
        "config.toml", "environment.json", "metrics.jsonl", "checkpoints", "samples", "tensorboard"
    ]  # fmt: skip
    assert all(path.parent == run.path for path in names)
    assert dataclasses.replace(run, path=Path("q")).samples == Path("q/samples")


@pytest.mark.parametrize(
    ("key", "may"),
    [
        ("training.lr", True), ("training.optimizer", False), ("gan.loss", True), ("vae.beta", True),
        ("model.dropout", True), ("model.label_dropout", True), ("model.channels", False), ("model.classes", False),
        ("data.dataset", True), ("data.size", False), ("diffusion.steps", False), ("distillation.method", False),
        ("distillation.pairs", False), ("distillation.adversarial_weight", True), ("name", False),
        ("training.foo", False),
    ],
)  # fmt: skip
def test_resumed_run_may_change_how_it_trains_and_not_what_it_trains(key, may):
    assert may_change(key) is may
