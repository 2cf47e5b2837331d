from itertools import pairwise

import pytest

from jaxgen.config import DDPM, VAE, override
from jaxgen.training.train_step import chunk_length, compute_dtype, scan_steps, total_steps

AUTOMATIC, SEVEN = DDPM(), override(DDPM(), ["training.scan_steps=7"])


def ends(total: int, scan: int, periods: tuple[int, ...], start: int = 0) -> list[int]:
    """The steps at which the calls of a run end."""
    reached = [start]
    while reached[-1] < total:
        reached.append(reached[-1] + chunk_length(reached[-1], total, scan, periods))
    return reached


@pytest.mark.parametrize(
    ("total", "scan", "periods"), [(100, 10, (30, 7)), (23, 5, (4, 100)), (7, 10, (3, 7)), (9, 1, (2, 5))]
)
def test_calls_end_at_everything_that_is_due(total, scan, periods):
    reached = ends(total, scan, periods)
    assert reached[-1] == total
    assert {step for p in periods for step in range(p, total + 1, p)} <= set(reached)
    assert {b - a for a, b in pairwise(reached)} <= {1, scan}


def test_whole_calls_are_made_where_nothing_is_in_the_way():
    assert ends(40, 10, (20, 40)) == [0, 10, 20, 30, 40]


def test_interrupted_run_makes_the_calls_of_one_that_was_not():
    reached = ends(100, 10, (30, 7))
    for stopped in reached:
        assert ends(100, 10, (30, 7), stopped) == reached[reached.index(stopped) :]


def test_steps_rule_and_epochs_count_where_there_are_none():
    assert total_steps(override(DDPM(), ["training.steps=5", "training.epochs=9"]), 100) == 5
    assert total_steps(override(DDPM(), ["training.steps=0", "training.epochs=9"]), 100) == 900


def test_automatic_choices_suit_the_cpu():
    assert (scan_steps(AUTOMATIC, 300), compute_dtype("auto")) == (1, "float32")
    assert (scan_steps(SEVEN, 300), compute_dtype("bfloat16")) == (7, "bfloat16")


def test_automatic_choices_suit_an_accelerator(monkeypatch):
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert (scan_steps(AUTOMATIC, 300), compute_dtype("auto")) == (10, "bfloat16")
    assert (scan_steps(SEVEN, 300), compute_dtype("float32")) == (7, "float32")


@pytest.mark.parametrize(
    ("steps_per_epoch", "calls"), [(1, [1]), (11, [11]), (500, [500]), (600, [300] * 2), (937, [468] * 2 + [1])]
)
def test_networks_of_linear_layers_run_an_epoch_in_one_call_or_in_equal_parts(steps_per_epoch, calls):
    scan = scan_steps(VAE(), steps_per_epoch)
    for epoch in (0, 1, 7):
        start = epoch * steps_per_epoch
        made = [(b - a) for a, b in pairwise(ends(start + steps_per_epoch, scan, (steps_per_epoch,), start))]
        assert made == calls


def test_vae_with_convolutions_is_run_as_they_are():
    convolutional = override(VAE(), ["model.convolutions=[4]"])
    assert scan_steps(convolutional, 300) == scan_steps(AUTOMATIC, 300) == 1
    assert scan_steps(override(VAE(), ["training.scan_steps=7"]), 300) == 7
