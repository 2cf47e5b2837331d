"""jaxgen train when it cannot: one line, an exit code, and nothing is touched."""

import subprocess
import sys
from pathlib import Path

import pytest

from jaxgen import config as configs
from jaxgen.config.presets import preset
from jaxgen.errors import install
from jaxgen.runs.folder import RunFolder
from jaxgen.training import trainer


@pytest.mark.parametrize("arguments", [["--model", "gan"], ["--resume", "made"]])
def test_classifier_that_is_none_is_one_line_and_leaves_nothing(command, tmp_path, arguments):
    gan = configs.override(preset("gan-digits"), ["training.steps=1"])
    RunFolder(tmp_path / "made").write(gan, None)
    before = (tmp_path / "made" / "environment.json").read_bytes()
    outcome = command("train", *arguments, "--classifier", "nowhere")
    assert outcome.code == 2 and outcome.line.startswith("--classifier: nowhere: not a run folder")
    assert not Path("runs/gan-digits").exists() and (tmp_path / "made" / "environment.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--eval-every", "5", "--extractor", "nowhere.onnx"], "--extractor: nowhere.onnx: "),
        (["--eval-count", "5"], "--eval-count and --extractor belong to --eval-every, which is not given"),
        (["--eval-every", "-1"], "Invalid value for '--eval-every'"),
    ],
)
def test_evaluation_that_cannot_be_is_one_line_before_the_training(command, arguments, words):
    outcome = command("train", "--preset", "vae-digits", "--set", "training.steps=1", *arguments)
    assert outcome.code == 2 and words in outcome.line and outcome.out == ""
    assert not Path("runs/vae-digits").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --model, --preset or --config; 'jaxgen presets' lists the presets"),
        (["--model", "ddpm", "--preset", "ddpm-mnist"], "not both"),
        (["--model", "dppm"], "unknown model 'dppm' (did you mean 'ddpm'?)"),
        (["--preset", "ddpm-minst"], "unknown preset 'ddpm-minst' (did you mean 'ddpm-mnist'?)"),
        (["--model", "ddpm", "--set", "training.stpes=3"], "'training.stpes' (did you mean 'training.steps'?)"),
        (["--model", "ddpm", "--set", "lr=3"], "(did you mean 'training.lr'?)"),
        (["--model", "ddpm", "--set", "training.lr"], "--set takes KEY=VALUE, got 'training.lr'"),
        (["--model", "ddpm", "--set", "training.lr=-1"], "training.lr must be > 0, got -1.0"),
        (["--model", "ddpm", "--dataset", "minst"], "unknown dataset 'minst' (did you mean 'mnist'?)"),
        (["--model", "ddpm", "--dataset", "folder:nowhere"], "there is no such folder"),
        (["--config", "nowhere.toml"], "nowhere.toml: cannot be read: No such file or directory"),
        (["--resume", "nowhere"], "nowhere: not a run folder (no config.toml)"),
        (["--resume", "x", "--preset", "ddpm-mnist"], "--resume takes the run's own config"),
        (["--resume", "x", "--out", "y"], "--resume takes the run's own config"),
        (["--prset", "ddpm-mnist"], "No such option"),
        (["extra"], "unexpected extra argument"),
    ],
)  # fmt: skip
def test_request_that_cannot_be_meant_is_one_line_and_exit_2(command, asked, arguments, words):
    outcome = command("train", *arguments)
    assert outcome.code == 2 and words in outcome.line and outcome.out == "" and asked == []
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.size=16", "data.size cannot change from 8 to 16 when a run is resumed"),
        ("model.blocks=2", "model.blocks cannot change from 1 to 2"),
        ("diffusion.steps=60", "diffusion.steps cannot change from 50 to 60"),
        ("name=other", "name cannot change from small to other"),
        ("model.label_dropout=2", "model.label_dropout must be in [0, 1), got 2"),
        ("training.optimizer=sgd", "training.optimizer cannot change from adam to sgd"),
    ],
)
def test_resume_refuses_what_would_be_another_run(command, asked, run, setting, words):
    outcome = command("train", "--resume", run, "--set", setting)
    assert outcome.code == 2 and words in outcome.line and asked == []


def test_other_config_in_the_same_folder_is_refused_by_key_and_values(command, run, small, tmp_path):
    (tmp_path / "small.toml").write_text(configs.dumps(small))
    outcome = command("train", "--config", "small.toml", "--out", run, "--set", "training.lr=0.5")
    assert outcome.code == 2 and f"{run} holds a run with training.lr = 0.001, not 0.5" in outcome.line


@pytest.mark.parametrize("out", ["file", "file/run", "/proc/run"])
def test_unwritable_out_is_one_line(command, tmp_path, out):
    (tmp_path / "file").write_text("keep")
    outcome = command("train", "--model", "ddpm", "--set", "training.steps=1", "--out", out)
    assert outcome.code in (2, 3) and out in outcome.line and (tmp_path / "file").read_text() == "keep"


def test_folder_of_something_else_is_left_alone(command, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("keep")
    outcome = command("train", "--model", "ddpm", "--out", "thesis")
    assert outcome.code == 2 and "not empty and not a run folder" in outcome.line
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "JAX_NUM_PROCESSES must be an integer >= 1, got ''"),
        ({"JAX_NUM_PROCESSES": "two", "JAX_PROCESS_ID": "0"}, "JAX_NUM_PROCESSES must be an integer >= 1, got 'two'"),
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_PROCESS_ID must be an integer >= 0, got ''"),
        ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"}, "JAX_PROCESS_ID must be less than JAX_NUM_PROCESSES (2)"),
    ],
)
def test_incomplete_launch_is_one_line(command, asked, monkeypatch, environment, words):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    outcome = command("train", "--model", "ddpm")
    assert outcome.code == 2 and words in outcome.line and asked == []


def blocked(module: str, *arguments: str) -> subprocess.CompletedProcess:
    """The command where a module is not installed."""
    code = f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'jaxgen'; from jaxgen.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["jax", "flax", "optax"])
def test_missing_extra_is_one_line_that_names_it_and_exit_4(module):
    done = blocked(module, "train", "--model", "ddpm", "--out", "/nowhere")
    want = f"jaxgen: this needs {module}, which is not installed; {install('train')}\n"
    assert (done.returncode, done.stdout, done.stderr) == (4, "", want)


def test_presets_need_nothing_but_the_base_install():
    done = blocked("jax", "presets")
    assert (done.returncode, done.stderr) == (0, "")


def test_debug_adds_a_traceback_and_keeps_line_and_code(jaxgen):
    plain, debug = (jaxgen(*flags, "train", "--preset", "x") for flags in ([], ["--debug"]))
    assert (plain.returncode, debug.returncode) == (2, 2)
    assert "Traceback" not in plain.stderr and "Traceback" in debug.stderr and "UsageError" in debug.stderr
    assert debug.stderr.endswith(plain.stderr) and plain.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (MemoryError(), "out of memory", 3),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating"), "out of memory", 3),
        (OSError(28, "No space left on device", "/full/x"), "/full/x: No space left on device", 3),
        (ValueError("a\nb"), "internal error: ValueError: a b; 'jaxgen --debug ...' shows where", 1),
    ],
)
def test_whatever_else_goes_wrong_is_one_line(command, monkeypatch, error, words, code):
    def train(*_, **__):
        raise error

    monkeypatch.setattr(trainer, "train", train)
    outcome = command("train", "--model", "ddpm")
    assert outcome.code == code and outcome.line.startswith(words)


def test_ctrl_c_before_training_is_one_line_after_the_terminals_own(command, monkeypatch):
    def train(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", train)
    outcome = command("train", "--model", "ddpm")
    assert (outcome.code, outcome.err) == (130, "\njaxgen: interrupted\n")  # '^C' stands in the line above
