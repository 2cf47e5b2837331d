"""Curves from metrics.jsonl: what is read, what shares a panel, and that something is drawn."""

import json

import numpy as np
import pytest

from jaxgen.errors import UsageError
from jaxgen.images import read_png
from jaxgen.plots import draw_curves, panels
from jaxgen.runs.metrics import Tail, read_curves

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


def test_renamed_metric_of_an_earlier_run_continues_its_curve(tmp_path):
    rows = [{"step": 10, "drawn_as_asked": 0.25}, {"step": 20, "label_accuracy": 0.5}]
    assert read_curves(write(tmp_path, rows)) == {"label_accuracy": ([10, 20], [0.25, 0.5])}


@pytest.mark.parametrize("make", [lambda folder: folder / "metrics.jsonl", lambda folder: write(folder, [])])
def test_nothing_to_plot_is_reported_in_one_line(make, tmp_path):
    with pytest.raises(UsageError, match="plot"):
        read_curves(make(tmp_path))


def test_loss_comes_first_and_the_test_set_is_plotted_beside_it():
    grouped = panels(["kl", "lr", "test_kl", "loss", "test_loss", "share/0", "share/1"])
    assert list(grouped) == ["loss", "kl", "lr", "share"]
    assert grouped["loss"] == ["loss", "test_loss"]
    assert grouped["share"] == ["share/0", "share/1"]


def test_score_is_plotted_beside_its_floor():
    grouped = panels(["loss", "eval_fid_floor", "eval_recall", "eval_fid"])
    assert grouped == {"loss": ["loss"], "eval_fid": ["eval_fid_floor", "eval_fid"], "eval_recall": ["eval_recall"]}


@pytest.fixture
def axes(monkeypatch):
    """axes(curves): the panels that are drawn, by title."""
    drawn = []
    monkeypatch.setattr("jaxgen.plots.pixels", drawn.append)

    def get(curves):
        draw_curves(curves, "run")
        return {axis.get_title(): axis for axis in drawn.pop().axes if axis.get_visible()}

    return get


def lines(**values):
    return {name: ([1, 2], [value, value]) for name, value in values.items()}


def test_both_sides_of_a_game_are_called_by_their_names(axes):
    titles = ["generator loss", "discriminator loss", "generator grad norm", "discriminator grad norm"]
    norms = lines(discriminator_loss=1.2, loss=0.8, grad_norm=2.0, discriminator_grad_norm=3.0)
    assert sorted(axes(norms)) == sorted(titles)
    assert list(axes(lines(loss=0.8, grad_norm=2.0))) == ["loss", "grad norm"]


def test_what_a_discriminator_believes_is_one_panel_from_0_to_1(axes):
    (panel,) = axes(lines(d_fake=0.41, d_real=0.52)).values()
    assert panel.get_ylim() == (0, 1)
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["D(fake)", "D(real)"]
    (scores,) = axes(lines(d_fake=-30.0, d_real=45.0)).values()  # of wgan-gp
    assert scores.get_ylim()[0] < -30 and scores.get_ylim()[1] > 45


def test_rate_that_is_constant_is_plotted_above_zero(axes):
    bottom, top = axes(lines(lr=0.001))["lr"].get_ylim()
    assert bottom == 0 and top > 0.001


def test_image_shows_the_curves_it_was_given(tmp_path):
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


def test_command_writes_no_png_by_another_name(jaxgen, tmp_path):
    write(tmp_path, ROWS)
    done = jaxgen("plot", tmp_path, "-o", tmp_path / "x.jpg")
    assert done.returncode == 2 and not (tmp_path / "x.jpg").exists()
    assert "-o takes FILE.png" in done.stderr and done.stderr.count("\n") == 1


def test_command_on_no_run_says_so(jaxgen, tmp_path):
    done = jaxgen("plot", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_tail_reads_only_whole_new_lines_and_starts_again_when_the_file_is_rewritten(tmp_path):
    file = tmp_path / "metrics.jsonl"
    tail = Tail(file)
    assert tail.read() == {}
    file.write_text('{"step": 1, "loss": 4.0}\n{"step": 2, "lo')
    assert tail.read() == {"loss": ([1], [4.0])}
    with file.open("a") as more:
        more.write('ss": 3.0}\nbroken\n{"step": 2, "test_loss": 3.5}\n')
    assert tail.read() == {"loss": ([1, 2], [4.0, 3.0]), "test_loss": ([2], [3.5])} == read_curves(file)
    other = tmp_path / "other"
    other.write_text("".join(f'{{"step": {step}, "loss": 2.0}}\n' for step in range(1, 10)))
    assert other.stat().st_size > file.stat().st_size  # not told by its size
    other.replace(file)
    assert tail.read() == {"loss": (list(range(1, 10)), [2.0] * 9)} == read_curves(file)
