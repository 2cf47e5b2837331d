from itertools import pairwise

import pytest

from jaxgen.config import Config, override
from jaxgen.training.pace import chunk_length, compute_dtype, scan_steps, total_steps


def calls(total: int, scan: int, periods: tuple[int, ...], start: int = 0) -> list[int]:
    """The steps at which the calls of a run end."""
    ends = [start]
    while ends[-1] < total:
        ends.append(ends[-1] + chunk_length(ends[-1], total, scan, periods))
    return ends


@pytest.mark.parametrize(
    ("total", "scan", "periods"), [(100, 10, (30, 7)), (23, 5, (4, 100)), (7, 10, (3, 7)), (9, 1, (2, 5))]
)
def test_calls_end_at_everything_that_is_due(total, scan, periods):
    ends = calls(total, scan, periods)
    assert ends[-1] == total
    assert {step for p in periods for step in range(p, total + 1, p)} <= set(ends)
    assert {b - a for a, b in pairwise(ends)} <= {1, scan}


def test_whole_calls_are_made_where_nothing_is_in_the_way():
    assert calls(40, 10, (20, 40)) == [0, 10, 20, 30, 40]


def test_interrupted_run_makes_the_calls_of_one_that_was_not():
    ends = calls(100, 10, (30, 7))
    for stopped in ends:
        assert calls(100, 10, (30, 7), stopped) == ends[ends.index(stopped) :]


def test_steps_rule_and_epochs_count_where_there_are_none():
    assert total_steps(override(Config(), ["training.steps=5", "training.epochs=9"]), 100) == 5
    assert total_steps(override(Config(), ["training.steps=0", "training.epochs=9"]), 100) == 900


def test_automatic_choices_suit_the_cpu():
    assert (scan_steps(0), compute_dtype("auto")) == (1, "float32")
    assert (scan_steps(7), compute_dtype("bfloat16")) == (7, "bfloat16")


def test_automatic_choices_suit_an_accelerator(monkeypatch):
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert (scan_steps(0), compute_dtype("auto")) == (10, "bfloat16")
    assert (scan_steps(7), compute_dtype("float32")) == (7, "float32")
