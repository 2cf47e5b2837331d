"""The sheet of the most typical and the worst images, on images whose merit is known."""

import numpy as np
import pytest

from jaxgen.errors import UsageError
from jaxgen.evaluation.sheet import COLUMNS, ROWS, order, sheet
from jaxgen.images import grid


def test_order_is_from_images_like_real_ones_to_others():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((300, 3))
    generated = np.concatenate([rng.standard_normal((30, 3)) * 0.3, 6 + np.arange(10)[:, None] * np.ones((1, 3))])
    ranks = order(generated, real)
    assert sorted(ranks) == list(range(40)) and set(ranks[:30]) == set(range(30))
    assert ranks[30:].tolist() == list(range(30, 40))  # the farther, the worse


def test_sheet_shows_the_first_above_and_the_last_below():
    images = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 8, 8, 1))
    ranks = np.random.default_rng(0).permutation(200)
    count = COLUMNS * ROWS
    drawn = sheet(images, ranks)
    good, bad = (grid(images[rows], columns=COLUMNS) for rows in (ranks[:count], ranks[::-1][:count]))
    np.testing.assert_array_equal(drawn[-len(bad) :, : bad.shape[1]], bad)
    title = len(drawn) - len(bad) - len(good)  # of both, each about half of it
    starts = [y for y in range(title) if np.array_equal(drawn[y : y + len(good), : good.shape[1]], good)]
    assert len(starts) == 1 and abs(starts[0] - title / 2) < 4


def test_few_images_are_shown_in_one_half_each():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    drawn, pair = sheet(images, np.arange(5)), grid(images[[4, 3]], columns=2)
    np.testing.assert_array_equal(drawn[-len(pair) :, : pair.shape[1]], pair)
    with pytest.raises(UsageError, match="needs at least 2, got 1"):
        sheet(images[:1], np.arange(1))
