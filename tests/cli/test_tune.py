"""jaxgen tune, and --spacing of jaxgen sample, as a person uses them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgen.inference import model_file
from jaxgen.inference.model import Model

FORMAT_2 = Path(__file__).parents[1] / "golden/format2"
QUICK = ("-n", 4, "--plans", 12)


def test_tuned_file_is_written_verified_and_described(command):
    outcome = command("tune", FORMAT_2 / "ddpm.onnx", "--steps", 4, *QUICK, "-o", "tuned.onnx")
    assert (outcome.code, outcome.out) == (0, "tuned.onnx\n")
    assert "from the images of many steps" in outcome.err and "on 4 other images" in outcome.err
    assert command("verify", "tuned.onnx").code == 0
    plan = model_file.read("tuned.onnx").inference.plan
    told = command("info", "tuned.onnx").out
    assert f"default     {plan.sampler}, 4 steps" in told
    assert f"searched    from '{model_file.read(FORMAT_2 / 'ddpm.onnx').sha256}': 0." in told
    assert command("sample", "tuned.onnx", "-n", 4, "-o", "a.png").code == 0
    assert command("replay", "a.png", "--model", "tuned.onnx").code == 0


def test_tune_needs_the_base_install_alone(tmp_path):
    code = (
        "import sys\nfor name in ('jax', 'torch', 'onnx', 'flax', 'sklearn'): sys.modules[name] = None\n"
        "from jaxgen.cli import main\nmain()"
    )
    words = ["tune", str(FORMAT_2 / "flow.onnx"), "--steps", "3", *map(str, QUICK), "-o", "tuned.onnx"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "tuned.onnx\n"), done.stderr


def test_what_cannot_be_tuned_is_one_line_and_writes_nothing(refused):
    ddpm = FORMAT_2 / "ddpm.onnx"
    line = refused(2, "tune", FORMAT_2 / "vae.onnx", "--steps", 4, "-o", "t.onnx")
    assert "samples in one evaluation" in line
    assert "generates no images" in refused(3, "tune", FORMAT_2 / "classifier.onnx", "--steps", 4, "-o", "t.onnx")
    assert "must be from 2 to 60, got 90" in refused(2, "tune", ddpm, "--steps", 90, "-o", "t.onnx")
    assert "1 is not in the range" in refused(2, "tune", ddpm, "--steps", 1, "-o", "t.onnx")
    assert "is the file that is tuned" in refused(2, "tune", ddpm, "--steps", 4, "-o", ddpm)
    assert "there is no folder" in refused(3, "tune", ddpm, "--steps", 4, "-o", "no/t.onnx")
    assert not Path("t.onnx").exists()


def test_spacing_of_a_sample_is_in_its_plan_and_its_provenance(command):
    path = FORMAT_2 / "ddpm.onnx"
    options = ("-n", 3, "--seed", 5, "--steps", 5, "--sampler", "dpmpp-2m")
    for name, more in {"a": (), "b": ("--spacing", "karras"), "c": ("--spacing", "trailing")}.items():
        assert command("sample", path, *options, *more, "-o", f"{name}.npy").code == 0
    model = Model.open(path)
    want, _ = model.sample(np.full(3, 5), np.arange(3), plan=model.plan(sampler="dpmpp-2m@karras", steps=5))
    np.testing.assert_array_equal(np.load("b.npy"), want)
    np.testing.assert_array_equal(np.load("a.npy"), np.load("c.npy"))
    assert not np.array_equal(np.load("a.npy"), np.load("b.npy"))
    assert command("sample", path, *options, "--spacing", "karras", "-o", "b.png").code == 0
    assert "identical" in command("replay", "b.png", "--model", path).out


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("ddpm", ("--spacing", "karas"), "unknown spacing 'karas' (did you mean 'karras'?)"),
        ("ddpm", ("--spacing", "searched"), "a searched plan is the default of a file of 'jaxgen tune'"),
        ("flow", ("--spacing", "karras"), "unknown spacing of a flow 'karras'"),
        ("vae", ("--spacing", "karras"), "samples in one evaluation"),
    ],
)
def test_spacing_that_a_model_has_not_exits_2(refused, name, words, message):
    assert message in refused(2, "sample", FORMAT_2 / f"{name}.onnx", "-n", 1, *words)
