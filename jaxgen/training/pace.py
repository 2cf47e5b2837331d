"""How far a run goes, in calls of how many steps, in which dtype: what suits the device, a function of the config."""

from __future__ import annotations

import math

import jax

from jaxgen.config import Config

LONGEST_SCAN = 500  # batches in memory at a time


def compute_dtype(name: str) -> str:
    """'auto' as bfloat16 on GPU and TPU, float32 on CPU; else the name itself."""
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def scan_steps(config: Config, steps_per_epoch: int) -> int:
    """Steps of one compiled call: `training.scan_steps`, or where that is 0 as many as are fast.

    An epoch, or an equal part of a long one, for networks of linear layers; for convolutions 10 on accelerators, where
    one call of many steps saves dispatching, and 1 on CPU, where XLA runs convolutions inside a loop some thirty times
    slower than outside.
    """
    if config.training.scan_steps:
        return config.training.scan_steps
    if not config.convolutional:
        return steps_per_epoch // math.ceil(steps_per_epoch / LONGEST_SCAN)
    return 1 if jax.default_backend() == "cpu" else 10


def total_steps(config: Config, steps_per_epoch: int) -> int:
    """Optimiser steps of the whole run."""
    return config.training.steps or config.training.epochs * steps_per_epoch


def chunk_length(step: int, total: int, scan: int, periods: tuple[int, ...]) -> int:
    """Steps of the next compiled call from `step`: `scan`, or 1 to reach a point where something else is due.

    Counted from the last such point, and dependent on the step alone, so an interrupted run makes the same calls as one
    that was not.
    """
    last = max(step // p * p for p in periods)
    due = min(total, *((step // p + 1) * p for p in periods))
    return scan if (step - last) % scan == 0 and step + scan <= due else 1
