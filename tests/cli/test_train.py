import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jaxgen import config as configs
from jaxgen.presets import PRESETS, preset
from jaxgen.training import loop
from jaxgen.training.run import RunFolder


@pytest.fixture
def asked(monkeypatch):
    """What `jaxgen train` would train, without training it."""
    calls = []

    def train(config, folder, **rest):
        calls.append((config, folder, rest))
        return Path(folder) / "checkpoints" / "00000001"

    monkeypatch.setattr(loop, "train", train)
    return calls


@pytest.fixture
def run(small, tmp_path) -> Path:
    """A run folder that has a config and a checkpoint's folder."""
    made = RunFolder(tmp_path / "made")
    made.write(small, Path("/data"))
    made.checkpoints.mkdir()
    return made.path


def test_model_means_the_preset_of_the_dataset(command, asked):
    assert command("train", "--model", "ddpm").out == "runs/ddpm-digits/checkpoints/00000001\n"
    command("train", "--model", "ddpm", "--dataset", "mnist")
    command("train", "--preset", "ddpm-mnist16-fast", "--out", "there")
    wanted = [("ddpm-digits", "runs/ddpm-digits"), ("ddpm-mnist", "runs/ddpm-mnist"), ("ddpm-mnist16-fast", "there")]
    for (config, folder, _), (name, out) in zip(asked, wanted, strict=True):
        assert (config, folder) == (preset(name), Path(out))


@pytest.mark.parametrize("family", ["vae", "cvae", "gan", "ddpm", "cddpm", "flow", "classifier"])
def test_model_without_a_dataset_is_of_the_digits(command, asked, family):
    command("train", "--model", family)
    assert asked[0][0] == preset(f"{family}-digits")


def test_model_without_a_preset_for_the_digits_is_of_its_first_set(command, asked):
    command("train", "--model", "dcgan")
    command("train", "--model", "cgan")
    assert [config for config, _, _ in asked] == [preset("dcgan-cryptopunks"), preset("cgan-digits")]


def test_classifier_is_passed_on(command, asked, run):
    command("train", "--model", "gan", "--classifier", "runs/judge")
    command("train", "--resume", run, "--classifier", "runs/judge")
    command("train", "--resume", run)
    assert [rest["classifier"] for _, _, rest in asked] == [Path("runs/judge"), Path("runs/judge"), None]


@pytest.mark.parametrize("arguments", [["--model", "gan"], ["--resume", "made"]])
def test_classifier_that_is_none_is_one_line_and_leaves_nothing(command, tmp_path, arguments):
    gan = configs.override(preset("gan-digits"), ["training.steps=1"])
    RunFolder(tmp_path / "made").write(gan, None)
    before = (tmp_path / "made" / "environment.json").read_bytes()
    outcome = command("train", *arguments, "--classifier", "nowhere")
    assert outcome.code == 2 and outcome.line.startswith("--classifier: nowhere: not a run folder")
    assert not Path("runs/gan-digits").exists() and (tmp_path / "made" / "environment.json").read_bytes() == before


def test_resume_takes_what_warnings_advise(command, asked, tmp_path):
    settings = {
        "gan-digits": ["gan.discriminator_lr=0.0001", "gan.loss=hinge", "gan.critic_steps=2", "model.dropout=0.1"],
        "vae-digits": ["vae.beta=0.5", "vae.free_bits=0.1"],
        "cddpm-digits": ["model.label_dropout=0.2", "model.dropout=0.1"],
    }
    for name, chosen in settings.items():
        RunFolder(tmp_path / name).write(preset(name), None)
        command("train", "--resume", name, *(word for setting in chosen for word in ("--set", setting)))
        config = asked.pop()[0]
        assert config == configs.override(preset(name), chosen) != preset(name)


def test_model_for_a_set_without_a_preset_takes_its_measures(command, asked):
    command("train", "--model", "ddpm", "--dataset", "cryptopunks")
    ((config, folder, _),) = asked
    assert (config.data.dataset, config.data.channels, folder) == ("cryptopunks", 3, Path("runs/ddpm-cryptopunks"))


def test_options_apply_from_the_general_to_the_particular(command, asked, tmp_path):
    (tmp_path / "my.toml").write_text('name = "mine"\n[training]\nlr = 0.25\nema = 0.5\n')
    dataset = "folder:/C:\\new"
    command(
        "train", "--preset", "ddpm-mnist", "--config", "my.toml", "--dataset", dataset, "--data-dir", ".",
        "--set", "training.lr=0.125", "--set", "training.steps=7",
    )  # fmt: skip
    ((config, folder, rest),) = asked
    assert configs.differences(preset("ddpm-mnist"), config) == {
        "name": ("ddpm-mnist", "mine"),
        "data.dataset": ("mnist", dataset),
        "training.lr": (1e-3, 0.125),
        "training.steps": (8000, 7),
        "training.ema": (0.999, 0.5),
    }
    assert (folder, rest["data_dir"], rest["resume"]) == (Path("runs/mine"), Path(), False)


def test_data_folder_may_come_from_the_environment(command, asked, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA_DIR", "/")
    command("train", "--model", "ddpm")
    assert asked[0][2]["data_dir"] == Path("/")


def test_resume_takes_config_and_data_folder_from_the_run(command, asked, run, small):
    command("train", "--resume", run)
    command("train", "--resume", run, "--set", "training.steps=9", "--data-dir", "/")
    (config, folder, rest), (changed, _, other) = asked
    assert (config, folder, rest["data_dir"], rest["resume"]) == (small, run, Path("/data"), True)
    assert configs.differences(small, changed) == {"training.steps": (6, 9)} and other["data_dir"] == Path("/")


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
def test_half_said_launch_is_one_line(command, asked, monkeypatch, environment, words):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    outcome = command("train", "--model", "ddpm")
    assert outcome.code == 2 and words in outcome.line and asked == []


@pytest.mark.parametrize(("tasks", "joined"), [({"SLURM_NTASKS": "4"}, 0), ({"SLURM_STEP_NUM_TASKS": "4"}, 1)])
def test_processes_are_joined_in_a_launch_and_not_in_the_shell_around_it(command, asked, monkeypatch, tasks, joined):
    calls = []
    monkeypatch.setattr("jax.distributed.initialize", lambda *a, **k: calls.append(a))
    for name, value in tasks.items():
        monkeypatch.setenv(name, value)
    command("train", "--model", "ddpm")
    assert len(calls) == joined


def blocked(module: str, *arguments: str) -> subprocess.CompletedProcess:
    """The command where a module is not installed."""
    code = f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'jaxgen'; from jaxgen.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["jax", "flax", "optax"])
def test_missing_extra_is_one_line_that_names_it_and_exit_4(module):
    done = blocked(module, "train", "--model", "ddpm", "--out", "/nowhere")
    want = f"jaxgen: this needs {module}, which is not installed; run: pip install 'jaxgen[train]'\n"
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

    monkeypatch.setattr(loop, "train", train)
    outcome = command("train", "--model", "ddpm")
    assert outcome.code == code and outcome.line.startswith(words)


def test_ctrl_c_before_training_is_one_line_after_the_terminals_own(command, monkeypatch):
    def train(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", train)
    outcome = command("train", "--model", "ddpm")
    assert (outcome.code, outcome.err) == (130, "\njaxgen: interrupted\n")  # '^C' stands in the line above


def test_presets_are_listed_a_line_each(command):
    lines = command("presets").out.splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)
    (fast,) = [line for line in lines if line.startswith("ddpm-mnist16-fast")]
    assert all(word in fast for word in ("ddpm", "mnist", "16x16x1", "lr 0.0003", "batch 128", "100 epochs"))


def test_preset_is_printed_as_toml_that_train_takes(command, asked, tmp_path):
    text = command("presets", "ddpm-mnist").out
    assert tomllib.loads(text) == configs.to_dict(preset("ddpm-mnist"))
    (tmp_path / "mine.toml").write_text(text)
    command("train", "--config", "mine.toml")
    assert asked[0][0] == preset("ddpm-mnist")


def test_presets_as_json_are_whole(command):
    everything = json.loads(command("presets", "--json").out)
    assert {name: configs.from_dict(value) for name, value in everything.items()} == PRESETS
    assert list(json.loads(command("presets", "--json", "ddpm-mnist").out)) == ["ddpm-mnist"]


def test_unknown_preset_is_one_line(command):
    outcome = command("presets", "ddpm-minst")
    assert outcome.code == 2 and "(did you mean 'ddpm-mnist'?)" in outcome.line


def test_help_has_examples_and_every_option(command):
    text = command("train", "--help").out
    assert "jaxgen train --resume runs/ddpm-mnist" in text
    options = ["--model", "--preset", "--config", "--dataset", "--data-dir", "--set", "--out", "--resume"]
    options += ["--classifier"]
    assert all(option in text for option in options) and "JAXGEN_DATA_DIR" in text
