"""The cores of a CPU as JAX's devices and threads, in processes of their own: a process chooses them once."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import jax
import pytest

from jaxgen import config as configs
from jaxgen.config import VAE
from jaxgen.runs.folder import RunFolder
from jaxgen.training import distributed

COUNT = """
import os, sys
os.sched_getaffinity = lambda pid: set(range(4))  # a machine of four cores
from jaxgen.training.distributed import spread_over_cores
spread_over_cores(int(sys.argv[1]))
import jax
print(jax.device_count())
"""


@pytest.mark.parametrize(
    "batch_size, more, expected",
    [
        (64, {}, 4),
        (50, {}, 2),  # three cores with 16 images each would leave two images over
        (16, {}, 1),
        (64, {"JAX_NUM_CPU_DEVICES": "3"}, 3),
        (64, {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1"}, 1),
    ],
)
def test_batch_is_spread_over_the_cores_that_divide_it(batch_size, more, expected):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | more
    command = [sys.executable, "-c", COUNT, str(batch_size)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) == expected


def machine(**changed) -> dict:
    return {"devices": ["TFRT_CPU_0", "TFRT_CPU_1"], "cpu_threads": 2} | changed


@pytest.mark.parametrize(
    ("recorded", "more", "expected", "said"),
    [
        (machine(), {}, (2, "2"), "going on with 2 threads of XLA, as before, and not 1"),
        (machine(), {"NPROC": "5"}, (2, "5"), ""),
        (machine(devices=["TFRT_CPU_0"], cpu_threads=1), {}, (1, "1"), ""),
        (machine(devices=["cuda:0"]), {}, (1, None), ""),
        (machine(devices=["TFRT_CPU_0"] * 3), {}, (1, "2"), "going on with 2 threads"),  # 32 do not divide over 3
        ({}, {}, (1, None), ""),  # of an earlier version
        (machine(cpu_threads="two", devices="many"), {}, (1, None), ""),
    ],
)
def test_run_that_goes_on_has_the_devices_and_threads_that_it_had(
    small, tmp_path, monkeypatch, capsys, recorded, more, expected, said
):
    run, config = RunFolder(tmp_path / "run"), configs.override(small, ["training.batch_size=32"])
    run.write(config, None, machine=recorded)
    run.checkpoints.mkdir()
    chosen = {"jax_num_cpu_devices": 1}
    jax = SimpleNamespace(config=SimpleNamespace(update=chosen.__setitem__))
    for name, value in {"jax": jax, "has_started": lambda: False, "usable_cores": lambda: 1}.items():
        monkeypatch.setattr(distributed, name, value)  # a machine of one core, before JAX starts
    for name in ("NPROC", "XLA_FLAGS"):
        monkeypatch.setenv(name, "0")
        monkeypatch.delenv(name)
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    distributed.start(config, run)
    assert (chosen["jax_num_cpu_devices"], os.environ.get("NPROC")) == expected
    err = capsys.readouterr().err
    assert said in err if said else err == ""


def test_nothing_is_promised_once_jax_has_started(small, tmp_path, monkeypatch, capsys):
    jax.devices()
    assert distributed.has_started()
    monkeypatch.setenv("NPROC", "0")
    monkeypatch.delenv("NPROC")
    distributed.keep_threads(64)
    assert "NPROC" not in os.environ and capsys.readouterr().err == ""


def cores() -> list[int]:
    """Two cores that this process may use, though it may have been given one of them alone."""
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        return sorted(os.sched_getaffinity(0))[:2]
    finally:
        os.sched_setaffinity(0, mine)


@pytest.mark.skipif(not shutil.which("taskset"), reason="needs taskset, of util-linux")
def test_run_of_two_cores_goes_on_with_one_bit_for_bit(tmp_path, assert_same_state, metrics_of):
    both = cores()
    if len(both) < 2:
        pytest.skip("needs two cores")
    config = tmp_path / "small.toml"
    config.write_text(configs.dumps(configs.override(VAE(name="small"), [
        "model.hidden=[256]", "training.steps=4", "training.checkpoint_every=2", "training.log_every=1",
        "training.sample_every=100", "training.sample_count=1",
    ])))  # fmt: skip
    straight, run = tmp_path / "straight", tmp_path / "run"
    on(both, "--config", config, "--out", straight)
    shutil.copytree(straight, run)
    shutil.rmtree(run / "checkpoints" / "00000004")  # as if it had been stopped after two steps
    said = on(both[:1], "--resume", run)
    assert "going on with 2 threads of XLA, as before, and not 1" in said and "not bit for bit" not in said
    assert_same_state(straight, run, 4)
    assert metrics_of(straight) == metrics_of(run)


def on(chosen: list[int], *arguments: object) -> str:
    """What `jaxgen train` says on these cores alone."""
    command = ["taskset", "-c", ",".join(map(str, chosen)), sys.executable, "-m", "jaxgen", "train"]
    environment = {name: value for name, value in os.environ.items() if name != "NPROC"}
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
