"""README, docs and help texts: every command is in them, links lead somewhere, and what they tell to type works."""

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import onnx
import pytest
from golden import calls

from jaxgen.cli import cli
from jaxgen.inference import model_file

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
GUIDED = ("install", "sample", "train", "data", "score", "latents", "weights", "serve")
GUIDE = README + "".join(DOCS[f"{name}.md"] for name in GUIDED)


def commands(group: click.Group, prefix: str = "jaxgen") -> dict[str, click.Command]:
    found = {}
    for name, command in group.commands.items():
        full = f"{prefix} {name}"
        found |= commands(command, full) if isinstance(command, click.Group) else {full: command}
    return found


@pytest.fixture
def in_folder(tmp_path):
    """in_folder(*arguments): the command, run in a folder of its own; images on stdout do not matter."""

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "jaxgen", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300, check=False
        )

    return run


def typed(text: str = GUIDE) -> list[str]:
    """Every line of the console blocks that starts with jaxgen, once."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("jaxgen ")))


@pytest.mark.parametrize("name", commands(cli))
def test_every_command_has_help_with_an_example(name):
    assert f"{name}" in (commands(cli)[name].help or "")


@pytest.mark.parametrize("name", commands(cli))
def test_every_command_is_in_the_guide(name):
    assert name in GUIDE


def test_readme_fits_on_two_screens():
    assert len(README.splitlines()) <= 100


@pytest.mark.parametrize(
    "line",
    [line for line in typed() if " model.onnx" in line and not re.search(" (export|serve|compose|adopt) ", line)],
)
def test_line_on_a_model_works(line, in_folder, unconditional, tmp_path):
    (tmp_path / "model.onnx").write_bytes(unconditional.onnx.read_bytes())
    if "replay" in line:
        assert in_folder("sample", "model.onnx", "-n", "2", "-o", "grid.png").returncode == 0
    arguments = shlex.split(line)[1:]
    if "bench" in line:
        arguments += ["--batch-sizes", "1", "--steps", "2", "--repeats", "1", "--only-onnxruntime"]
    done = in_folder(*arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(calls.FOLDERS[-1].glob("*.onnx")), ids=lambda path: path.stem)
def test_docs_say_what_every_input_and_output_is(path):
    graph = onnx.load(path).graph
    for port in (*graph.input, *graph.output):
        kind = onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type).name
        assert re.search(rf"`{port.name}`[^.;]*?\b{kind}\b", DOCS["file.md"]), port.name


@pytest.mark.parametrize("line", [line for line in typed() if " vae.onnx" in line])
def test_line_on_a_vae_works(line, in_folder, family, tmp_path):
    model = family("vae-convolutional")
    (tmp_path / "vae.onnx").write_bytes(model.onnx.read_bytes())
    (tmp_path / "vae.encoder.onnx").write_bytes(model.encoder.read_bytes())
    done = in_folder(*shlex.split(line)[1:])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [line for line in typed() if line.startswith(("jaxgen data", "jaxgen presets"))])
def test_line_on_data_and_presets_is_understood(line, in_folder):
    arguments = shlex.split(line.split(">")[0])[1:]
    help_instead = ["--help"] if "get" in arguments else []  # a test fetches nothing
    assert in_folder(*arguments, *help_instead).returncode == 0


@pytest.mark.slow
def test_the_four_lines_for_pip_users_train_export_and_sample(in_folder, tmp_path):
    first = typed(DOCS["install.md"])
    assert [line.split()[1] for line in first] == ["train", "export", "sample"]
    for line in first:
        small = ["training.steps=2", "diffusion.steps=20", "diffusion.sampler_steps=5"]
        extra = [word for setting in small for word in ("--set", setting)] if " train " in line else []
        done = in_folder(*shlex.split(line)[1:], *extra)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/demo/grid.png").stat().st_size > 1000


def test_python_of_the_docs_samples(unconditional, tmp_path):
    (tmp_path / "model.onnx").write_bytes(unconditional.onnx.read_bytes())
    code = "".join(re.findall(r"```python\n(.*?)```", DOCS["sample.md"], re.DOTALL)) + "print(images.shape)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(2, ")


def cells() -> list[str]:
    notebook = json.loads((ROOT / "experiments/tour.ipynb").read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_notebook_asks_for_commands_that_there_are():
    lines = [cell for cell in cells() if cell.startswith("!")]
    assert [
        line.split()[1] for line in lines if f"jaxgen {line.split()[1]}" not in commands(cli) | {"jaxgen latent": 0}
    ] == []
    assert {"train", "export", "verify", "sample", "eval"} <= {line.split()[1] for line in lines}


@pytest.mark.slow
def test_notebook_runs_to_its_end(in_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for cell in cells():
        if cell.startswith("!jaxgen "):
            done = in_folder(*shlex.split(cell)[1:])
            assert done.returncode == 0, done.stderr
        else:
            exec(compile(cell, "cell", "exec"), names)
    (alone,), many = names["alone"], names["many"]
    assert (many[3] == alone).all() and not (many[4] == alone).all()


def test_make_knows_the_two_commands():
    for target in ("demo", "test"):
        assert f"make {target}" in README
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.slow
def test_demo_of_the_makefile_gives_a_model_that_has_learned(tmp_path):
    lines = subprocess.run(["make", "--dry-run", "demo"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        if line.startswith(".venv/bin/jaxgen "):
            command = [sys.executable, "-m", "jaxgen", *shlex.split(line)[1:]]
            subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    demo = tmp_path / "out" / "demo"
    assert model_file.read(demo / "model.onnx").value("training.test_loss", float) < 0.2  # 1 before the first step
    assert (demo / "grid.png").stat().st_size > 1000
    assert (demo / "denoise.gif").stat().st_size > 1000


FOLDERS = ("", "docs", "experiments/*")
PAGES = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.md".lstrip("/")))


@pytest.mark.parametrize("page", PAGES)
def test_link_leads_to_what_is_in_the_repository(page):
    for image, target in re.findall(r"(!?)\[[^\]]*\]\(([^)\s#]+)[^)]*\)", (ROOT / page).read_text()):
        if not target.startswith(("http:", "https:")):
            assert (ROOT / page).parent.joinpath(target).exists(), target
            assert not image or (ROOT / page).parent.joinpath(target).stat().st_size > 1000, target


def test_index_of_the_docs_names_every_page():
    assert set(DOCS) - {"README.md"} == set(re.findall(r"\]\(([\w-]+\.md)\)", DOCS["README.md"]))


def stops(page: str) -> list[tuple[str, str | None]]:
    """(file, name) of each stop of a page: `path/to/file.py` `name`, the name being there or not."""
    text = " ".join((ROOT / page).read_text().split())
    return [
        (file, name or None)
        for file, name in re.findall(r"`((?:jaxgen|export|serve|tests)/[\w/]+\.py)`(?: `(\w+)`)?", text)
    ]


@pytest.mark.parametrize(("file", "name"), stops("docs/tour.md"))
def test_stop_of_the_tour_is_where_it_says(file, name):
    source = (ROOT / file).read_text()
    defined = {
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assert name is None or name in defined
