"""The tables of docs/runtimes.md: how they are written, from cells that were not measured."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments/runtimes"))
    yield importlib.import_module("table")
    for name in ("table", "measure"):
        del sys.modules[name]


@pytest.fixture
def cell(table):
    return table.Cell


def test_cell_says_how_many_pixels_are_equal_and_how_fast_it_is(table, cell):
    assert table.cell(cell(identical=1.0, speed=1.361)) == "100 %, 1.36"
    assert table.cell(cell(identical=0.99999, off_by=1, speed=2)) == "99.99 % (off by 1), 2.00"  # and not 100
    assert table.cell(cell(identical=0.25, off_by=255, speed=0.5)) == "25 % (off by 255), 0.50"
    assert table.cell(cell(error="no")) == "no"


def test_note_names_what_is_the_same_for_all_files_once(table, cell):
    same, other, good = cell(error="bad"), cell(error="worse", lost="plan"), cell(identical=1.0)
    assert table.note({"VAE": same, "GAN": same}) == "`bad`"
    assert (
        table.note({"VAE": same, "GAN": good, "diffusion": other})
        == "VAE: `bad`; diffusion: `worse`; diffusion: loses plan"
    )
    assert table.note({"VAE": cell(identical=0.2, unsteady=True)}) == "its first run gives other images than later ones"
    assert table.note({"VAE": good}) == ""


def test_error_is_one_short_line_without_this_machines_folders(table):
    shortened = sys.modules["measure"].shortened
    assert (
        shortened("Load model from /tmp/x9/env-1/model.onnx\n  failed | `x`")
        == "Load model from model.onnx failed / 'x'"
    )
    assert len(shortened("word " * 100)) == 110 and shortened("word " * 100).endswith("...")


def test_tables_have_a_row_each_and_go_where_they_belong(table, cell):
    rows = table.RUNTIMES[:2]
    found = {row: dict.fromkeys(table.KINDS, cell(identical=1.0, speed=1.0)) for row in rows}
    made = table.table(table.RUNTIMES, found, ("runtime", "version", "file")).splitlines()
    assert made[0] == "| runtime | version | file | VAE | GAN | diffusion | what it says |"
    assert made[2:] == [
        f"| onnxruntime | {version} | as exported | 100 %, 1.00 | 100 %, 1.00 | 100 %, 1.00 | |"
        for version in ("1.20.1", "1.21.1")
    ]
    assert table.written("a\nB\nold\n<!-- end -->\nz\n", "B", "new") == "a\nB\nnew\n<!-- end -->\nz\n"
    with pytest.raises(SystemExit):
        table.written("a\n", "B", "new")


def test_page_has_a_row_for_each_that_was_tried_or_says_that_none_was(table):
    """The rows are measured together, on one machine: all of them stand there, or a line says that none does."""
    page = (ROOT / "docs/runtimes.md").read_text()
    rows = [f"| {row.name} | {row.version} |" for row in (*table.RUNTIMES, *table.TOOLS)]
    measured = [row in page for row in rows]
    assert all(measured) or (not any(measured) and page.count("Not measured yet for this format.") == 2)


def test_readme_names_the_versions_of_onnxruntime_that_are_tried(table):
    lines = (ROOT / "README.md").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("| onnxruntime (the base install) |"))
    tried = [row.version for row in table.RUNTIMES if row.name == "onnxruntime"]
    assert re.findall(r"\d+\.\d+\.\d+", line) == tried


def test_versions_are_pinned(table):
    for row in (*table.RUNTIMES, *table.TOOLS):
        for package in row.packages:
            assert package == str(ROOT) or "==" in package or "@" in package
