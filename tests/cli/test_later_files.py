"""The commands on files that a later jaxgen may write; see tests/inference/test_later_files.py."""

from pathlib import Path

import numpy as np
import pytest
from later import IMAGES, MODEL, SEED, UNKNOWN, demanding, later
from servers import forged


@pytest.fixture
def file(tmp_path):
    """file(change): the golden model with its manifest changed, at file.onnx."""

    def make(change) -> Path:
        path = tmp_path / "file.onnx"
        path.write_bytes(forged(MODEL, manifest=change))
        return path

    return make


def test_commands_work_on_a_later_file(command, file):
    path = file(later)
    for words in (
        ["info", path, "--json"],
        ["verify", path],
        ["sample", path, "-n", 4, "--first", 5, "--seed", SEED, "--label", "all", "-o", "x.npy"],
        ["sample", path, "-n", 2, "-o", "x.png"],
        ["replay", "x.png", "--model", path],
        ["latent", "interpolate", path, "--steps", 2, "--frames", 2, "-o", "walk.png"],
        ["bench", path, "--only-onnxruntime", "--batch-sizes", 1, "--steps", 2, "--repeats", 1],
        ["info", path],
    ):
        outcome = command(*words)
        assert outcome.code == 0, (words, outcome)
    assert "steps_per_call 0" in outcome.out and "dpmpp-2m, 8 steps, guidance 1.5" in outcome.out
    np.testing.assert_array_equal(np.load("x.npy"), IMAGES["default"])


def test_bench_beside_other_runtimes_needs_a_config_of_todays(command, file):
    outcome = command("bench", file(later), "--batch-sizes", 1, "--steps", 2, "--repeats", 1)
    assert outcome.code == 3
    *_, line = outcome.err.splitlines()
    assert "the config that it records is not understood here" in line and "--only-onnxruntime" in line


@pytest.mark.parametrize(
    "words",
    [
        ("sample", "FILE", "-n", 1, "-o", "x.png"),
        ("sample", "FILE", "--gif"),
        ("info", "FILE"),
        ("info", "FILE", "--json"),
        ("verify", "FILE"),
        ("bench", "FILE", "--only-onnxruntime"),
        ("latent", "interpolate", "FILE", "-o", "x.png"),
        ("latent", "reconstruct", "FILE", "--dataset", "digits"),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_command_refuses_what_a_file_requires_by_name(refused, file, words):
    path = file(demanding)
    line = refused(3, *(path if word == "FILE" else word for word in words))
    assert line.startswith(f"{path}: needs 'x', which jaxgen 0.")
    assert line.endswith("does not know; upgrade jaxgen to open it")


@pytest.mark.parametrize("part", UNKNOWN)
def test_unknown_process_samples_by_the_files_own_plan_and_refuses_another(command, refused, file, part):
    change, words = UNKNOWN[part]
    path = file(change)
    for settings in (["--steps", 5], ["--sampler", "ddim", "--steps", 99], ["--steps", 5, "--gif"]):
        line = refused(2, "sample", path, *settings)
        assert words in line or "sampling steps must be from 1 to 50" in line
    assert not Path("samples.png").exists()
    asked = ["-n", 4, "--first", 5, "--seed", SEED, "--label", "all", "-o", "x.npy"]
    assert command("sample", path, *asked).code == 0
    np.testing.assert_array_equal(np.load("x.npy"), IMAGES["default"])
    assert command("sample", path, "-n", 2, "-o", "x.png").code == 0
    assert command("replay", "x.png", "--model", path).code == 0
    assert command("verify", path).code == 0
    assert "default     " in command("info", path).out
