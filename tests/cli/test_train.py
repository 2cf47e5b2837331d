"""jaxgen train: which config, folder and data it trains with."""

import shlex
from pathlib import Path

import pytest

from jaxgen import config as configs
from jaxgen.config.presets import preset
from jaxgen.runs.folder import RunFolder


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


def test_evaluation_is_passed_on(command, asked, run):
    command("train", "--model", "ddpm", "--eval-every", "50", "--eval-count", "300", "--extractor", "x.onnx")
    command("train", "--resume", run, "--eval-every", "0")
    command("train", "--resume", run)
    assert [tuple(rest["evaluation"]) for _, _, rest in asked] == [
        (50, 300, Path("x.onnx")),
        (0, None, None),
        (None, None, None),
    ]


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


def pets(tmp_path, small) -> Path:
    """A run that was trained on a folder of images."""
    made = RunFolder(tmp_path / "pets-run")
    made.write(configs.override(small, ["data.dataset=folder:/old/pets"]), None)
    made.checkpoints.mkdir()
    return made.path


@pytest.mark.parametrize(
    "arguments", [["--dataset", "folder:new/pets"], ["--set", "data.dataset=folder:new/pets"]], ids=["dataset", "set"]
)
def test_resume_takes_another_place_of_the_data(command, asked, tmp_path, small, arguments):
    command("train", "--resume", pets(tmp_path, small), *arguments)
    ((config, _, rest),) = asked
    assert config.data.dataset == f"folder:{tmp_path}/new/pets"
    assert configs.differences(small, config).keys() == {"data.dataset"} and rest["accept_data"] is False


def test_other_data_are_accepted_where_it_is_said(command, asked, run):
    command("train", "--resume", run, "--accept-data")
    command("train", "--model", "ddpm", "--accept-data")
    assert [rest["accept_data"] for _, _, rest in asked] == [True, True]


def test_folder_of_datasets_is_refused_for_a_folder_of_images_unless_it_is_everybodys(
    command, asked, tmp_path, small, monkeypatch
):
    outcome = command("train", "--resume", pets(tmp_path, small), "--data-dir", "/")
    assert outcome.code == 2 and "was trained on folder:/old/pets: if that was moved, name it by" in outcome.line
    monkeypatch.setenv("JAXGEN_DATA_DIR", "/")
    assert command("train", "--resume", tmp_path / "pets-run").code == 0 and len(asked) == 1


def test_relative_folder_of_a_config_is_relative_to_its_file_and_of_an_option_to_the_present_folder(
    command, asked, tmp_path
):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "my.toml").write_text('[data]\ndataset = "folder:../pets"\n')
    command("train", "--config", "configs/my.toml")
    command("train", "--model", "ddpm", "--config", "configs/my.toml")
    command("train", "--model", "ddpm", "--set", "data.dataset=folder:pets")
    wanted = [f"folder:{tmp_path}/configs/../pets"] * 2 + [f"folder:{tmp_path}/pets"]
    assert [config.data.dataset for config, _, _ in asked] == wanted


@pytest.mark.parametrize(("tasks", "joined"), [({"SLURM_NTASKS": "4"}, 0), ({"SLURM_STEP_NUM_TASKS": "4"}, 1)])
def test_processes_are_joined_in_a_launch_and_not_in_the_shell_around_it(command, asked, monkeypatch, tasks, joined):
    calls = []
    monkeypatch.setattr("jax.distributed.initialize", lambda *a, **k: calls.append(a))
    for name, value in tasks.items():
        monkeypatch.setenv(name, value)
    command("train", "--model", "ddpm")
    assert len(calls) == joined


def test_wgan_of_the_docs_has_the_settings_of_its_paper(command, asked):
    page = (Path(__file__).parents[2] / "docs/train.md").read_text().replace("\\\n", "")
    (line,) = (line for line in page.splitlines() if line.startswith("jaxgen train") and "wgan-gp" in line)
    command(*shlex.split(line)[1:])
    training, gan = asked[0][0].training, asked[0][0].gan
    # Gulrajani et al. 2017, algorithm 1: lambda, critic's steps, and alpha, beta 1, beta 2 of Adam; batches of 64
    assert (gan.gradient_penalty, gan.critic_steps, gan.loss) == (10, 5, "wgan-gp")
    assert (training.lr, training.beta1, training.beta2, training.optimizer) == (1e-4, 0, 0.9, "adam")
    assert training.batch_size / gan.critic_steps == 64


def test_help_has_examples_and_every_option(command):
    text = command("train", "--help").out
    assert "jaxgen train --resume runs/ddpm-mnist" in text
    options = ["--model", "--preset", "--config", "--dataset", "--data-dir", "--set", "--out", "--resume"]
    options += ["--classifier", "--accept-data"]
    assert all(option in text for option in options) and "JAXGEN_DATA_DIR" in text
