"""The record of a run's sessions, and the images of its steps, counted by hand."""

import pytest

from jaxgen.runs import sessions
from jaxgen.runs.sessions import Progress

CHANGED = Progress(((0, 8), (15, 16)))  # 15 steps of 8 images, then steps of 16


def test_images_of_steps_are_counted_over_a_change_of_the_batch():
    assert [CHANGED.images(step) for step in (0, 1, 15, 16, 20)] == [0, 8, 120, 136, 200]
    assert Progress(((0, 8),)).images(7) == 56


def test_next_batch_follows_on_the_images_that_were_seen():
    # 120 images are 7 batches of 16 and a part of the 8th, which is read again: step 15 takes batch 7.
    assert 15 + CHANGED.offset == 7
    assert Progress(((0, 8),)).offset == 0
    assert 5 + Progress(((0, 32), (5, 8))).offset == 20


def test_steps_that_are_left_are_those_of_the_images_that_are_left():
    assert CHANGED.total(240) == 15 + 8  # 120 of 240 are done, 7.5 batches are left
    assert CHANGED.total(100) == 15  # more are done already
    assert Progress(((0, 8),)).total(80) == 10


def test_change_replaces_what_came_after_it_and_none_changes_nothing():
    assert CHANGED.then(20, 16) == CHANGED
    assert CHANGED.then(20, 32).parts == ((0, 8), (15, 16), (20, 32))
    assert CHANGED.then(12, 16).parts == ((0, 8), (12, 16))  # an earlier checkpoint was the newest whole one
    assert CHANGED.then(15, 8).parts == ((0, 8),)
    assert CHANGED.then(0, 4).parts == ((0, 4),)


def test_record_keeps_the_first_machine_and_what_later_ones_changed():
    two = {"cpu_threads": 2, "python": "3.11.2", "packages": {"jax": "0.10.2"}}
    one = two | {"cpu_threads": 1}
    record = sessions.first(two, 8)
    record = sessions.gone_on(record, one, step=4, batch_size=8, before=99)
    record = sessions.gone_on(record, one, step=9, batch_size=16, before=99)
    assert record == {
        **two,
        "batch_size": 8,
        "resumed": [{"step": 4, "batch_size": 8, "cpu_threads": 1}, {"step": 9, "batch_size": 16}],
    }
    assert sessions.latest(record) == one
    assert Progress.of(record, 99).parts == ((0, 8), (9, 16))


def test_record_of_an_earlier_version_has_the_batch_of_its_config():
    assert Progress.of({"python": "3.11.2"}, 8).parts == ((0, 8),)
    record = sessions.gone_on({"python": "3.11.2"}, {"python": "3.12.1"}, step=5, batch_size=16, before=8)
    assert (record["python"], record["batch_size"]) == ("3.11.2", 8)
    assert record["resumed"] == [{"step": 5, "batch_size": 16, "python": "3.12.1"}]
    assert Progress.of(record, 99).parts == ((0, 8), (5, 16))


@pytest.mark.parametrize(
    "broken", [{"resumed": 3}, {"resumed": [7, None]}, {"resumed": [{"step": "x"}]}, {"batch_size": "eight"}]
)
def test_broken_record_says_nothing(broken):
    assert Progress.of(broken, 8).parts == ((0, 8),)
    assert sessions.latest(broken) == {}
