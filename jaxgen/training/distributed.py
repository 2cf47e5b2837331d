"""Distributed training: the devices of a CPU, joining the processes of a launcher, and agreeing on when to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxgen.config import Config
from jaxgen.errors import UsageError
from jaxgen.runs.folder import RunFolder
from jaxgen.training.environment import POOL, keep_compiled, usable_cores

COORDINATOR = "JAX_COORDINATOR_ADDRESS"
# Set in every process of a launch, and only there: SLURM_NTASKS, say, is also set in the shell that salloc opens.
LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")

LEAST_SHARE = 16  # images of a batch for a core


def spread_over_cores(batch_size: int, devices: int | None = None) -> None:
    """Make every core of a CPU a device of its own, so that each computes a share of a batch.

    XLA spreads one operation over all cores, and waits for them after each; a core with its own images waits once a
    step (experiments/training-speed). It does nothing after JAX has started, for the processes of a launcher, and where
    JAX_NUM_CPU_DEVICES or the flags of XLA say how many devices there are. devices: as many, whatever the cores are, if
    they divide the batch.
    """
    told = "JAX_NUM_CPU_DEVICES" in os.environ or "device_count" in os.environ.get("XLA_FLAGS", "")
    if told or _launched() or has_started():
        return
    most = max(1, min(usable_cores(), batch_size // LEAST_SHARE))
    fitting = max(n for n in range(1, most + 1) if batch_size % n == 0)
    jax.config.update("jax_num_cpu_devices", devices if devices and batch_size % devices == 0 else fitting)


def has_started() -> bool:
    """Whether JAX has chosen its devices and made its threads, which cannot change any more."""
    before = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]
    try:
        jax.config.update("jax_num_cpu_devices", before + 2)  # refused then
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", before)
    return False


def start(config: Config, run: RunFolder) -> None:
    """Prepare JAX for a training: its cache, the devices of a CPU, the other processes. Raises as `initialize`.

    A run that goes on gets the devices and the threads that it had: XLA splits sums by their number, so that the bits
    depend on it.
    """
    keep_compiled()
    before = run.machine() if run.checkpoints.is_dir() else {}
    devices = before.get("devices")
    on_cpu = isinstance(devices, list) and all("cpu" in str(device).lower() for device in devices)
    keep_threads(before.get("cpu_threads") if on_cpu else None)
    if config.convolutional:  # a network of linear layers is as fast without
        spread_over_cores(config.training.batch_size, len(devices) if isinstance(devices, list) and on_cpu else None)
    initialize()


def keep_threads(count: object) -> None:
    """Let XLA's pool on a CPU have `count` threads, as before, and say so where that is not one for each core.

    It does nothing if NPROC says how many, or if JAX has started: then the run says what is otherwise.
    """
    if not isinstance(count, int) or count < 1 or POOL in os.environ or has_started():
        return
    os.environ[POOL] = str(count)
    if count != usable_cores() and not _launched():
        print(
            f"going on with {count} threads of XLA, as before, and not {usable_cores()}: results depend on it; "
            f"{POOL}={usable_cores()} in the environment has one for each core",
            file=sys.stderr,
        )


def _launched() -> bool:
    """Whether a launcher started this process, with others."""
    return COORDINATOR in os.environ or any(name in os.environ for name in LAUNCHERS)


def initialize() -> None:
    """Call `jax.distributed.initialize` under JAX_COORDINATOR_ADDRESS, Slurm, Open MPI or a multi-host TPU slice.

    JAX_COORDINATOR_ADDRESS needs JAX_NUM_PROCESSES and JAX_PROCESS_ID; under the others JAX detects everything.
    Raises UsageError if one of the three is missing or not a number.
    """
    environment = os.environ
    if COORDINATOR in environment:
        count = _number(environment, "JAX_NUM_PROCESSES", least=1)
        index = _number(environment, "JAX_PROCESS_ID", least=0)
        if index >= count:
            raise UsageError(f"JAX_PROCESS_ID must be less than JAX_NUM_PROCESSES ({count}), got {index}")
        jax.distributed.initialize(environment[COORDINATOR], num_processes=count, process_id=index)
    elif (
        any(_number(environment, name, least=1) > 1 for name in LAUNCHERS if name in environment)
        or len(environment.get("TPU_WORKER_HOSTNAMES", "").split(",")) > 1
    ):
        jax.distributed.initialize()


def largest(number: int) -> int:
    """The largest `number` among the processes; all of them must make this call."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())


def require_equal(number: int, what: str) -> None:
    """Raise UsageError in every process unless all of them have the same number."""
    if largest(number) != number or -largest(-number) != number:
        raise UsageError(f"processes do not agree on {what} ({number} here); --out must be on a disk that all share")


def _number(environment: Mapping[str, str], name: str, *, least: int) -> int:
    text = environment.get(name, "")
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f"{name} must be an integer >= {least}, got {text!r}")
    return int(text)
