"""What only a process of its own can show: signals, many devices, many processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxgen import config as configs
from jaxgen.training.restore import load_trained
from jaxgen.training.trainer import train

LONG = ["training.steps=1000000", "training.checkpoint_every=1000000", "training.sample_every=1000000"]


@pytest.fixture
def config_file(small, tmp_path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(configs.dumps(small))
    return file


def start(*arguments: object, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "jaxgen", "train", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def sets(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def read_until(process: subprocess.Popen, words: str) -> str:
    seen = ""
    while words not in seen:
        line = process.stderr.readline()
        assert line, f"it ended after {seen}"
        seen += line
    return seen


def send(process: subprocess.Popen, number: int) -> tuple[float, str]:
    """Seconds until it ended, and the last line it said."""
    begin = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return time.monotonic() - begin, err.splitlines()[-1]


def test_terminated_run_saves_and_another_process_goes_on_bit_for_bit(
    small, config_file, tmp_path, jaxgen, assert_same_state, metrics_of
):
    run = tmp_path / "run"
    process = start("--config", config_file, "--out", run, *sets(*LONG))
    read_until(process, "step 20/")
    seconds, last = send(process, signal.SIGTERM)
    assert process.returncode == 143 and seconds < 5
    (folder,) = (run / "checkpoints").iterdir()
    step = int(folder.name)
    assert step >= 20 and f"interrupted, saved at step {step}; go on with: jaxgen train --resume {run}" in last
    end = step + 5
    done = jaxgen("train", "--resume", run, *sets(f"training.steps={end}"))
    assert (done.returncode, done.stdout) == (0, f"{run}/checkpoints/{end:08d}\n")
    train(configs.override(small, [*LONG, f"training.steps={end}"]), tmp_path / "straight")
    assert_same_state(run, tmp_path / "straight", end)
    assert metrics_of(run) == metrics_of(tmp_path / "straight")


def test_interrupt_while_compiling_ends_the_process_at_once(config_file, tmp_path):
    run = tmp_path / "run"
    process = start("--config", config_file, "--out", run, *sets(*LONG), JAX_ENABLE_COMPILATION_CACHE="false")
    read_until(process, "training: small")
    seconds, last = send(process, signal.SIGINT)
    assert process.returncode == 130 and seconds < 5
    assert "nothing to save yet" in last
    assert not (run / "checkpoints").exists() and (run / "metrics.jsonl").read_text() == ""


def test_eight_devices_compute_what_one_does(config_file, straight_small, tmp_path, jaxgen, metrics_of):
    run = tmp_path / "run"
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    done = jaxgen("train", "--config", config_file, "--out", run, XLA_FLAGS=flags)
    assert done.returncode == 0, done.stderr
    assert "on 8 x cpu" in done.stderr
    assert len(json.loads((run / "environment.json").read_text())["devices"]) == 8
    assert_alike(metrics_of(run), metrics_of(straight_small))
    assert_same_weights(run, straight_small, "6")


def test_two_processes_compute_what_one_does_and_a_signal_to_one_stops_both(
    config_file, straight_small, tmp_path, metrics_of
):
    run = tmp_path / "run"
    first, second = start_two(
        "--config", config_file, "--out", run, *sets("training.steps=1000000", "training.keep=100000")
    )
    said = read_until(first, "step 7/")
    second.send_signal(signal.SIGTERM)
    said += first.communicate(timeout=60)[1]
    other_said = second.communicate(timeout=60)[1]
    assert (first.returncode, second.returncode) == (143, 143), said + other_said
    last = max(int(path.name) for path in (run / "checkpoints").iterdir())
    assert f"saved at step {last};" in said and f"saved at step {last};" in other_said
    assert "on 2 x cpu" in said and "loss" not in other_said  # the first alone reports
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert json.loads((run / "environment.json").read_text())["processes"] == 2
    assert_alike(metrics_of(run)[:8], metrics_of(straight_small))
    assert_same_weights(run, straight_small, "6")


@pytest.fixture(scope="module")
def straight_small(small, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("straight") / "run"
    train(small, folder)
    return folder


def assert_alike(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> None:
    """Equal but for the order in which devices add up."""
    assert len(ours) == len(theirs) == 8
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def assert_same_weights(run: Path, other: Path, step: str) -> None:
    """Read here, on one device, wherever they were trained."""
    ours, theirs = load_trained(run, step).params, load_trained(other, step).params
    assert ours.keys() == theirs.keys() and all(np.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)


def start_two(*arguments: object) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    together = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [start(*arguments, **together, JAX_PROCESS_ID=str(i)) for i in range(2)]
