"""jaxgen distill: what it would train, what it says, and what it refuses in a line."""

from pathlib import Path

import pytest

from jaxgen.config.presets import preset
from jaxgen.config.students import student_of
from jaxgen.runs.folder import RunFolder


def made(name: str, data_dir: Path | None = None) -> Path:
    """A run folder of a preset, without weights."""
    RunFolder(Path(name)).write(preset(name), data_dir)
    return Path(name)


def test_student_is_trained_on_its_teachers_data_and_the_next_command_is_said(command, asked):
    run = made("cddpm-digits", Path("/data"))
    outcome = command("distill", run, "--guidance", 1.5, "--set", "training.steps=9")
    ((config, folder, rest),) = asked
    assert outcome.code == 0 and outcome.out.splitlines() == [f"{folder}/checkpoints/00000001"]
    assert outcome.err == "next: jaxgen export runs/cddpm-digits-1step -o model.onnx\n"
    assert folder == Path("runs/cddpm-digits-1step")
    assert config == student_of(preset("cddpm-digits"), 1, guidance=1.5, settings=("training.steps=9",))
    assert (rest["teacher"], rest["data_dir"]) == (run, Path("/data"))


def test_options_choose_steps_method_and_folder(command, asked, tmp_path):
    outcome = command(
        "distill", made("flow-digits"), "--steps", 4, "--method", "consistency", "--out", "my run", "--data-dir", "."
    )  # fmt: skip
    ((config, folder, rest),) = asked
    assert (config.plan.steps, config.distilled.method, folder) == (4, "consistency", Path("my run"))
    assert outcome.err == "next: jaxgen export 'my run' -o model.onnx\n" and rest["data_dir"] == Path()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("vae-digits", [], "vae-digits is of family 'vae', which samples in one evaluation already: there is nothing"),
        ("gan-digits", [], "of family 'gan', which samples in one evaluation already"),
        ("classifier-digits", [], "of family 'classifier', which generates no images: there is nothing to distil"),
        ("ddpm-digits", ["--steps", 1001], "--steps must be from 1 to 1000"),
        ("ddpm-digits", ["--steps", 0], "--steps"),
        ("ddpm-digits", ["--guidance", 2], "distillation.teacher_guidance must be 1 without classes"),
        ("ddpm-digits", ["--method", "dmd"], "unknown method 'dmd'; choose from adversarial, consistency, reflow"),
        ("ddpm-digits", ["--set", "distillation.pair=3"], "(did you mean 'distillation.pairs'?)"),
    ],
)
def test_request_that_cannot_be_meant_is_one_line_and_exit_2(command, asked, name, options, words):
    outcome = command("distill", made(name), *options)
    assert outcome.code == 2 and words in outcome.line and asked == [] and not Path("runs").exists()


def test_teacher_that_is_no_run_or_has_no_weights_is_one_line(command, small):
    outcome = command("distill", "nowhere")
    assert outcome.code == 2 and outcome.line.startswith("nowhere: not a run folder")
    RunFolder(Path("untrained")).write(small, None)
    outcome = command("distill", "untrained")
    assert outcome.code == 3 and "untrained: no checkpoint yet; train it first" in outcome.line
    assert not Path("runs/small-1step").exists()


def test_method_without_a_teacher_is_one_line(command):
    outcome = command(
        "train", "--model", "ddpm", "--set", "distillation.method=reflow", "--set", "diffusion.sampler_steps=1"
    )
    assert outcome.code == 2 and "needs a teacher: jaxgen distill RUN --method reflow" in outcome.line
    assert not Path("runs/ddpm-digits").exists()


def test_help_names_the_methods_and_the_default(command):
    text = " ".join(command("distill", "--help").out.split())
    assert "consistency: agreement with itself" in text and "discriminator of real images. [default: " in text
