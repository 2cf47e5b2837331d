"""Benchmark of a model file: samples per second in each installed runtime, measured in one run."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.inference.model import Model
from jaxgen.sampling import sampler_spec

PYTORCH = "pytorch eager"  # the runtime that the others are compared with
SampleFunction = Callable[[int, np.ndarray | None], object]  # (batch size, plan, None without plans)


def bench(
    model: Model,
    runtimes: Mapping[str, SampleFunction],
    *,
    batch_sizes: Sequence[int] = (1, 8, 64),
    steps: Sequence[int] = (10, 50),
    repeats: int = 5,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """{"machine", "threads", "repeats", "rows": [{"runtime", "batch", "steps", "images_per_second", ...}]}.

    runtimes: the functions to time, by name; "against_pytorch" is the speed relative to PYTORCH.
    Each row is the median of `repeats` calls after a warm-up. The runtimes take turns within each repeat, so that a
    drifting machine affects them equally; a ratio is the median of the ratios within each repeat.
    """
    rows = []
    for count, plan in plans_of(model, steps).items():
        for batch in batch_sizes:
            say(f"{count} steps, batch {batch}")
            rows += _rows(_seconds(runtimes, batch, plan, repeats), batch, count)
    return {"machine": machine(), "threads": threads or _cores(), "repeats": repeats, "rows": rows}


def plans_of(model: Model, steps: Sequence[int]) -> dict[int, np.ndarray | None]:
    """A plan without noise for each number of steps, so that the network dominates; {1: None} without a process."""
    process = model.inference.process
    if process is None:
        return {1: None}
    quiet = sampler_spec.named(process)  # the first one named is without noise
    name = next(iter(quiet.values())).sampler
    return {count: model.plan(sampler=name, steps=count, eta=0.0) for count in steps}


def sample_function(model: Model) -> SampleFunction:
    """The sampling function of a model file."""

    def sample(batch: int, plan: np.ndarray | None) -> object:
        return model.sample(np.zeros(batch, np.int64), np.arange(batch), guidance=unguided(model), plan=plan)

    return sample


def unguided(model: Model) -> float | None:
    """The guidance at which every runtime evaluates the network once per row."""
    return 1.0 if model.classes and model.inference.process else None


def numbers(text: str, what: str) -> list[int]:
    """'1,8,64' as a list of positive integers, or a UsageError that names the option."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and 1 <= int(part) <= 4096 for part in parts):
        raise UsageError(f"{what} takes whole numbers from 1 to 4096 with commas, got {text!r}")
    return [int(part) for part in parts]


def table(result: Mapping[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        f"{result['machine']}, {result['threads']} threads, median of {result['repeats']}",
        "",
        "| runtime | steps | batch | images/s | against PyTorch eager |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        ratio = "" if row["against_pytorch"] is None else f"{row['against_pytorch']:.2f}x"
        speed = f"{row['images_per_second']:,.1f}"
        lines.append(f"| {row['runtime']} | {row['steps']} | {row['batch']} | {speed} | {ratio} |")
    return "\n".join(lines)


def _seconds(
    runtimes: Mapping[str, SampleFunction], batch: int, plan: np.ndarray | None, repeats: int
) -> dict[str, list[float]]:
    """Seconds of each call, by runtime."""
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    for repeat in range(repeats + 1):
        for name, sample in runtimes.items():
            begin = time.perf_counter()
            sample(batch, plan)
            if repeat:  # the first one compiles and allocates
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def _rows(seconds: Mapping[str, list[float]], batch: int, steps: int) -> list[dict[str, Any]]:
    eager = seconds.get(PYTORCH)
    return [
        {
            "runtime": name,
            "steps": steps,
            "batch": batch,
            "images_per_second": batch / statistics.median(taken),
            "against_pytorch": statistics.median(e / t for e, t in zip(eager, taken, strict=True)) if eager else None,
        }
        for name, taken in seconds.items()
    ]


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """This machine's processor, and the number of cores that this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return f"{processor}, {_cores()} cores"
