"""The floors of the house: imports go down only, and what must start fast loads no framework."""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOT_FILES = [file for file in sorted((ROOT / "jaxgen").glob("*.py")) if file.stem != "__main__"]
CONFIG_FILES = sorted((ROOT / "jaxgen/config").glob("*.py"))  # a folder on the lightest floor
LIGHT = {"jaxgen", "jaxgen.config", *(f"jaxgen.{file.stem}" for file in ROOT_FILES)}
INSIDE_FUNCTIONS = {"jaxgen/charts.py": {"matplotlib"}}  # what a light file may need after all, once it is used

# What each floor may import besides the standard library and the light root files.
FLOORS = {
    "jaxgen/data": {"jaxgen.data", "numpy", "PIL", "sklearn", "grain", "tensorflow_datasets", "array_record", "google"},
    "jaxgen/latent": {"jaxgen.latent", "jaxgen.data", "numpy", "sklearn"},
    "jaxgen/models": {"jaxgen.models", "numpy", "jax", "flax"},
    "jaxgen/training": {
        "jaxgen.training", "jaxgen.models", "jaxgen.data", "numpy", "jax", "optax", "orbax", "rich", "tensorboardX",
    },
    "export/jaxgen_export": {
        "jaxgen_export", "jaxgen.models", "numpy", "jax", "torch", "onnx", "onnxscript", "safetensors",
        "onnxruntime",
    },
    "serve/jaxgen_serve": {
        "jaxgen_serve", "jaxgen.latent", "jaxgen.data", "numpy", "PIL", "anyio", "fastapi", "starlette", "pydantic",
        "prometheus_client", "uvicorn", "streamlit", "altair",
    },
}  # fmt: skip
SERVED = ", ".join(  # at once: an import of each takes seconds; without the dashboard, whose pages Streamlit runs
    ".".join(file.relative_to(ROOT / "serve").with_suffix("").parts)
    for file in sorted((ROOT / "serve/jaxgen_serve").rglob("*.py"))
    if "dashboard" not in file.parts
)


def modules(nodes: list[ast.stmt]) -> set[str]:
    """What these statements import: 'jaxgen.x' for our own, 'numpy' for 'numpy.linalg', no standard library."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {shortened(name) for name in names} - set(sys.stdlib_module_names)


def shortened(name: str) -> str:
    parts = name.split(".")
    if parts[0] != "jaxgen":
        return parts[0]
    return ".".join(parts[:2]) if (ROOT / "jaxgen" / parts[1]).is_dir() or f"jaxgen.{parts[1]}" in LIGHT else "jaxgen"


def everywhere(file: Path) -> set[str]:
    return modules([node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.stmt)])


def when_loaded(file: Path) -> set[str]:
    """Without what stands in functions or under TYPE_CHECKING."""
    return modules(ast.parse(file.read_text("utf-8")).body)


def label(value: object) -> str:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(value)


@pytest.mark.parametrize("file", [*ROOT_FILES, *CONFIG_FILES], ids=label)
def test_light_file_imports_light_things_alone(file):
    allowed = {"numpy", "PIL", "onnxruntime"} | LIGHT
    assert when_loaded(file) <= allowed
    assert everywhere(file) <= allowed | INSIDE_FUNCTIONS.get(label(file), set())


@pytest.mark.parametrize("file", CONFIG_FILES, ids=label)
def test_config_needs_the_standard_library_and_light_basics_alone(file):
    assert everywhere(file) <= {"jaxgen", "jaxgen.config", "jaxgen.schema", "jaxgen.errors"}


@pytest.mark.parametrize(
    ("floor", "file"), [(floor, file) for floor in FLOORS for file in sorted((ROOT / floor).rglob("*.py"))], ids=label
)
def test_imports_go_down_only(floor, file):
    assert everywhere(file) <= FLOORS[floor] | LIGHT


@pytest.mark.parametrize("file", sorted((ROOT / "jaxgen/cli").glob("*.py")), ids=label)
def test_command_module_loads_click_and_errors_alone(file):
    assert when_loaded(file) <= {"click", "jaxgen", "jaxgen.cli", "jaxgen.errors"}


@pytest.mark.parametrize(
    "modules",
    [
        "jaxgen.cli",
        *(f"jaxgen.{file.stem}" for file in ROOT_FILES if file.stem != "__init__"),
        "jaxgen.config",
        SERVED,
    ],
)
def test_light_module_loads_no_framework(modules):
    heavy = {"jax", "flax", "torch", "tensorflow", "onnx", "tensorflow_datasets", "sklearn", "matplotlib"}
    code = f"import {modules}, sys; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_takes_a_fifth_of_a_second():
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "jaxgen", "--help"], capture_output=True, check=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(10)) < 0.2  # the least: other tests may run meanwhile


def test_onnxruntime_is_told_to_report_nothing_before_it_is_loaded():
    code = "import jaxgen.session, os, sys; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["1", "False"]
