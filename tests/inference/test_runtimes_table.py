"""The tables of docs/runtimes.md: how they are written, from cells that were not measured."""

import importlib
import re
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


MODULES = ("table", "page", "rows", "measure", "environments")


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments/runtimes"))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture
def table(modules):
    return modules["table"]


@pytest.fixture
def page(modules):
    return modules["page"]


@pytest.fixture
def cell(modules):
    return modules["measure"].Cell


def test_cell_says_how_many_pixels_are_equal_and_how_fast_it_is(page, cell):
    assert page.cell(cell(identical=1.0, speed=1.361)) == "100 %, 1.36"
    assert page.cell(cell(identical=0.99999, off_by=1, speed=2)) == "99.99 % (off by 1), 2.00"  # and not 100
    assert page.cell(cell(identical=0.25, off_by=255, speed=0.5)) == "25 % (off by 255), 0.50"
    assert page.cell(cell(error="no")) == "no"


def test_cell_of_a_network_says_how_far_it_is_off(page, cell):
    assert page.cell(cell(relative=3.1e-7, speed=0.9)) == "within 3e-07, 0.90"
    assert page.cell(cell(relative=0.0, speed=1)) == "within 0e+00, 1.00"
    assert page.cell(cell(relative=2e-4, speed=1)) == "off by 2e-04, 1.00"
    assert page.cell(cell(relative=float("nan"), speed=1)) == "off by nan, 1.00"


def test_note_tells_what_is_the_same_for_all_files_once(page, cell):
    same, other, good = cell(error="bad"), cell(error="worse", lost="plan"), cell(identical=1.0)
    assert page.note({"VAE": same, "GAN": same}) == "`bad`"
    assert (
        page.note({"VAE": same, "GAN": good, "diffusion": other})
        == "VAE: `bad`; diffusion: `worse`; diffusion: loses plan"
    )
    unsteady = cell(identical=0.2, unsteady=True)
    assert page.note({"VAE": unsteady}) == "its first run gives another result than later ones"
    assert page.note({"VAE": good}) == ""


def test_error_is_one_short_line_without_folders_or_hosts(modules):
    shortened = modules["environments"].shortened
    assert (
        shortened("Load model from /tmp/x9/env-1/model.onnx\n  failed | `x`")
        == "Load model from model.onnx failed / 'x'"
    )
    assert (
        shortened("no route to https://index.example/simple/x, Pool(host='index.example')")
        == "no route to ... Pool(...)"
    )
    assert len(shortened("word " * 100)) == 110 and shortened("word " * 100).endswith("...")


def test_tables_have_a_row_each_and_go_where_they_belong(modules, page, cell):
    rows, head = modules["rows"].RUNTIMES, ("runtime", "version", "file")
    found = dict.fromkeys(page.KINDS, cell(identical=1.0, speed=1.0))
    made = page.table(rows, {row: page.line(row, found, head) for row in rows[:2]}, head).splitlines()
    assert made[:2] == ["| runtime | version | file | VAE | GAN | diffusion | what it says |", "|" + " --- |" * 7]
    assert made[2:] == [
        f"| onnxruntime | {version} | as exported | 100 %, 1.00 | 100 %, 1.00 | 100 %, 1.00 | |"
        for version in ("1.20.1", "1.21.1")
    ]
    assert page.written("a\nB\nold\n<!-- end -->\nz\n", "B", "new") == "a\nB\nnew\n<!-- end -->\nz\n"
    with pytest.raises(SystemExit):
        page.written("a\n", "B", "new")


@pytest.fixture
def text(table, modules):
    return "".join(f"{begin}\nNot measured yet.\n{modules['page'].END}\n" for begin in table.TABLES)


def test_page_is_written_after_each_row_and_keeps_the_others(table, modules, cell, text, tmp_path):
    (first, second, *_), (tool, *_) = modules["rows"].RUNTIMES, modules["rows"].TOOLS
    fast, slow = (dict.fromkeys(table.KINDS, cell(identical=1.0, speed=speed)) for speed in (2.0, 0.5))
    path = tmp_path / "page.md"
    path.write_text(text)
    page = table.Page(path, keep=False)
    page.add(second, fast)
    assert path.read_text().count("100 %, 2.00") == 3
    page.add(tool, fast)
    table.Page(path, keep=True).add(first, slow)
    rows = [line.split(" | ")[:2] for line in path.read_text().splitlines() if "100 %" in line]
    assert rows == [[f"| {row.name}", row.version] for row in (first, second, tool)]
    table.Page(path, keep=True).add(second, slow)
    assert path.read_text().count("100 %, 0.50") == 6 and path.read_text().count("100 %, 2.00") == 3
    table.Page(path, keep=False).add(first, fast)
    assert path.read_text().count("100 %") == 3


def test_rows_of_another_machine_are_not_mixed_with_this_ones(table, modules, cell, text, tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    path.write_text(text)
    table.Page(path, keep=False).add(modules["rows"].TOOLS[0], dict.fromkeys(table.KINDS, cell(error="bad")))
    monkeypatch.setattr(table, "machine", lambda: "another")
    with pytest.raises(SystemExit, match="of another machine"):
        table.Page(path, keep=True)
    table.Page(path, keep=False)


def test_failed_installation_is_tried_once_and_said_by_each_file(modules, tmp_path, monkeypatch):
    environments, asked = modules["environments"], []

    def run(command, folder, until):
        asked.append(command)
        raise environments.Failed("no such package")

    monkeypatch.setattr(environments, "run", run)
    made = environments.Environments(tmp_path / "environments")
    for packages in (("a==1", "b==2"), ("b==2", "a==1")):
        with pytest.raises(environments.Failed, match="cannot be installed: no such package"):
            made.command(packages)
    assert len(asked) == 1


def test_worker_that_is_late_or_crashes_says_so(modules, tmp_path):
    environments = modules["environments"]
    for code, seconds, complaint in (
        ("import time; time.sleep(60)", 0.3, "it takes too long"),
        ("import os; os.abort()", 60, "it crashes"),
        ("print('warning'); print('error of its own')", 60, "of its own"),
    ):
        with pytest.raises(environments.Failed, match=complaint):
            environments.Worker([sys.executable, "-c", code], tmp_path, time.monotonic() + seconds)


def test_page_has_a_row_for_each_that_was_tried_or_says_that_none_was(table):
    """The rows are measured together, on one machine: all of them stand there, or a line says that none does."""
    text = (ROOT / "docs/runtimes.md").read_text()
    measured = [row in table.lines(text, rows, head) for rows, head in table.TABLES.values() for row in rows]
    assert all(measured) or (not any(measured) and text.count("Not measured yet for this format.") == 2)


def test_each_row_has_a_worker_or_a_tool(modules):
    here = ROOT / "experiments/runtimes"
    workers, tools = (here / "worker.py").read_text(), (here / "rewrite.py").read_text()
    for row in modules["rows"].RUNTIMES:
        assert f'"{row.worker}": ' in workers or f"{row.worker}@" in row.packages[0]
    for row in modules["rows"].TOOLS:
        assert f'"{row.tool}": ' in tools or row.tool.startswith("opset")


def test_docs_name_the_versions_of_onnxruntime_that_are_tried(modules):
    lines = (ROOT / "docs/file.md").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("| onnxruntime (the base install) |"))
    tried = [row.version for row in modules["rows"].RUNTIMES if row.name == "onnxruntime"]
    assert re.findall(r"\d+\.\d+\.\d+", line) == list(dict.fromkeys(tried))


def test_versions_are_pinned(modules):
    for row in (*modules["rows"].RUNTIMES, *modules["rows"].TOOLS):
        for package in row.packages:
            assert package == str(ROOT) or "==" in package or "@" in package
