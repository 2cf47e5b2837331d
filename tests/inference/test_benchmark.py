"""The table of `jaxgen bench`: medians, ratios within a repeat, and the first draw left out."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from jaxgen.config import DDPM
from jaxgen.errors import UsageError
from jaxgen.inference import benchmark


class Clock:
    """perf_counter that only moves when a fake runtime says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Runtime:
    """Takes the given seconds, one after the other."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, iter(seconds)

    def __call__(self, batch, plan):
        self.clock.now += next(self.seconds)


class Model:
    """As much of a model as timing needs."""

    inference = SimpleNamespace(process=DDPM().process)
    classes = ()

    def plan(self, *, sampler, steps, eta):
        return np.zeros((steps, 9), np.float32)


@pytest.fixture
def rows(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(benchmark.time, "perf_counter", clock)
    runtimes = {
        "onnxruntime": Runtime(clock, [100.0, 1.0, 2.0, 4.0]),
        benchmark.PYTORCH: Runtime(clock, [100.0, 2.0, 6.0, 4.0]),
    }
    result = benchmark.bench(Model(), runtimes, batch_sizes=[8], steps=[10], repeats=3)
    return {row["runtime"]: row for row in result["rows"]}


def test_images_per_second_are_those_of_the_median_call_after_the_first(rows):
    assert rows["onnxruntime"]["images_per_second"] == 8 / 2.0
    assert rows[benchmark.PYTORCH]["images_per_second"] == 8 / 4.0


def test_ratio_is_the_median_of_those_within_a_repeat(rows):
    assert rows["onnxruntime"]["against_pytorch"] == 2.0  # of 2, 3 and 1
    assert rows[benchmark.PYTORCH]["against_pytorch"] == 1.0


@pytest.mark.parametrize("text", ["", "0", "-1", "1,,2", "1.5", "a", "5000"])
def test_numbers_that_mean_nothing_are_refused_by_option(text):
    with pytest.raises(UsageError, match="--steps takes whole numbers"):
        benchmark.numbers(text, "--steps")


def test_bench_on_all_runtimes_prints_a_row_each(jaxgen, unconditional):
    done = jaxgen("bench", unconditional.onnx, "--batch-sizes", "2", "--steps", "3", "--repeats", "1", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    runtimes = ["onnxruntime", "onnxruntime, loop outside", "pytorch eager", "torchscript", "jax"]
    assert [row["runtime"] for row in rows] == runtimes
    assert all(row["images_per_second"] > 0 and row["against_pytorch"] > 0 for row in rows)
