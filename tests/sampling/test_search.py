"""The search of times, on errors whose least place is known."""

import numpy as np
import pytest

from jaxgen.sampling.search import search


def bowl(target):
    return lambda times: float(np.sum((times - np.array(target)) ** 2))


def test_search_finds_the_times_of_the_least_error():
    target = [999, 700, 310, 100, 20]
    found = search(bowl(target), np.array([999, 800, 600, 400, 200]), ceiling=1000, budget=10_000)
    assert found.error < bowl(target)([999, 800, 600, 400, 200]) / 100
    assert np.abs(found.times - target).max() <= 0.1 * 400  # the smallest move is a sixteenth of a gap


def test_times_stay_in_order_on_the_grid_and_above_the_floor():
    pulled = search(lambda times: float(times.sum()), np.array([9, 7, 5, 3]), ceiling=10, budget=10_000)
    assert pulled.times[0] < 9 and (np.diff(pulled.times) < 0).all() and pulled.times[-1] >= 0
    pushed = search(lambda times: -float(times.sum()), np.array([9, 7, 5, 3]), ceiling=12, budget=10_000)
    assert pushed.times.tolist() == [11, 10, 9, 8]
    np.testing.assert_array_equal(pulled.times, pulled.times.round())
    flow = search(
        lambda times: float(times.sum()), np.array([1, 0.5, 0.25]), ceiling=1.001, grid=1e-3, floor=0, budget=10_000
    )
    assert (np.diff(flow.times) < 0).all() and flow.times[-1] >= 1e-3
    np.testing.assert_allclose(flow.times * 1000, (flow.times * 1000).round(), atol=1e-9)


@pytest.mark.parametrize("budget", [1, 2, 7, 50])
def test_error_is_measured_at_most_as_often_as_allowed_and_never_grows(budget):
    asked, rng = [], np.random.default_rng(0)

    def noisy(times):
        asked.append(times.copy())
        return float(rng.uniform())

    found = search(noisy, np.array([99, 60, 30, 10]), ceiling=100, budget=budget)
    assert found.measured == len(asked) <= budget
    rng = np.random.default_rng(0)
    assert found.error == min(rng.uniform() for _ in asked)


def test_nan_is_no_improvement():
    found = search(
        lambda times: 1.0 if times[1] == 50 else float("nan"), np.array([99, 50, 20]), ceiling=100, budget=99
    )
    assert found.times[1] == 50 and found.error == 1.0
