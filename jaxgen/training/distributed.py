"""Distributed training: the devices of a CPU, joining the processes of a launcher, and agreeing on when to stop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxgen.config import Config
from jaxgen.errors import UsageError
from jaxgen.training.environment import keep_compiled

COORDINATOR = "JAX_COORDINATOR_ADDRESS"
# Set in every process of a launch, and only there: SLURM_NTASKS, say, is also set in the shell that salloc opens.
LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")

LEAST_SHARE = 16  # images of a batch for a core


def spread_over_cores(batch_size: int) -> None:
    """Make every core of a CPU a device of its own, so that each computes a share of a batch.

    XLA spreads one operation over all cores, and waits for them after each; a core with its own images waits once a
    step (experiments/training-speed). It does nothing after JAX has started, for the processes of a launcher, and where
    JAX_NUM_CPU_DEVICES or the flags of XLA say how many devices there are.
    """
    told = "JAX_NUM_CPU_DEVICES" in os.environ or "device_count" in os.environ.get("XLA_FLAGS", "")
    if told or COORDINATOR in os.environ or any(name in os.environ for name in LAUNCHERS):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = max(1, min(cores, batch_size // LEAST_SHARE))
    with suppress(RuntimeError):  # JAX has started
        jax.config.update("jax_num_cpu_devices", max(n for n in range(1, most + 1) if batch_size % n == 0))


def start(config: Config) -> None:
    """Prepare JAX for a training: its cache, the devices of a CPU, the other processes. Raises as `initialize`."""
    keep_compiled()
    if config.convolutional:  # a network of linear layers is as fast without
        spread_over_cores(config.training.batch_size)
    initialize()


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
