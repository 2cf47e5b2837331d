"""Curves from metrics.jsonl: what is read, what shares a panel, and that something is drawn."""

import json

import numpy as np
import pytest

from jaxgen.curves import draw_curves, panels, read_curves
from jaxgen.errors import UsageError
from jaxgen.images import read_png

ROWS = [
    {"step": 10, "loss": 2.0, "lr": 0.1},
    {"step": 20, "loss": 1.0, "lr": 0.1},
    {"step": 20, "test_loss": 1.5},
]


def write(folder, rows, tail=""):
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return path


def test_every_number_is_read_with_its_steps(tmp_path):
    found = read_curves(write(tmp_path, ROWS, '{"step": 30, "lo'))  # a crash cut the last line
    assert found == {"loss": ([10, 20], [2.0, 1.0]), "lr": ([10, 20], [0.1, 0.1]), "test_loss": ([20], [1.5])}


@pytest.mark.parametrize("make", [lambda folder: folder / "metrics.jsonl", lambda folder: write(folder, [])])
def test_nothing_to_plot_is_said_in_one_line(make, tmp_path):
    with pytest.raises(UsageError, match="plot"):
        read_curves(make(tmp_path))


def test_loss_comes_first_and_the_test_set_is_drawn_beside_it():
    grouped = panels(["kl", "lr", "test_kl", "loss", "test_loss", "share/0", "share/1"])
    assert list(grouped) == ["loss", "kl", "lr", "share"]
    assert grouped["loss"] == ["loss", "test_loss"]
    assert grouped["share"] == ["share/0", "share/1"]


def test_picture_shows_the_curves_it_was_given(tmp_path):
    flat = {"loss": ([0, 1, 2], [1.0, 1.0, 1.0])}
    steep = {"loss": ([0, 1, 2], [3.0, 2.0, 1.0])}
    a, b = draw_curves(flat, "run"), draw_curves(steep, "run")
    assert a.shape == b.shape
    assert a.shape[2] == 3
    assert (a != b).any()
    assert (a == 255).mean() > 0.8  # on white


def test_command_writes_the_curves_beside_the_run(jaxgen, tmp_path):
    write(tmp_path, ROWS)
    done = jaxgen("plot", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "curves.png")
    assert np.ptp(read_png(tmp_path / "curves.png")) > 200


def test_command_on_no_run_says_so(jaxgen, tmp_path):
    done = jaxgen("plot", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
