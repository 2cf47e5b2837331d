"""The floors of the house: imports go down only, and what must start fast loads no framework."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "jaxgen": ROOT / "jaxgen",
    "jaxgen_export": ROOT / "export/jaxgen_export",
    "jaxgen_serve": ROOT / "serve/jaxgen_serve",
}
# Without jaxgen.palettes, which only some rooms need.
BASE = {"jaxgen", "jaxgen.errors", "jaxgen.files", "jaxgen.images", "jaxgen.plots"}  # the files of the package's root
# What a light file may need after all, once it is used.
INSIDE_FUNCTIONS = {"jaxgen/plots.py": {"matplotlib"}, "jaxgen/__init__.py": {"jaxgen.inference"}}

# What each room imports besides the standard library, NumPy and itself: no more, and no less. The first six are
# light: they load no framework, so that a model file opens in a fraction of a second on a machine without one.
LIGHT = tuple(f"jaxgen/{room}" for room in ("shipped", "config", "sampling", "runs", "inference", "evaluation"))
ROOMS = {
    "jaxgen/shipped": {"jaxgen.errors"},
    "jaxgen/sampling": {"jaxgen", "jaxgen.errors", "jaxgen.images"},
    "jaxgen/config": {"jaxgen.sampling", "jaxgen.errors"},
    "jaxgen/runs": {"jaxgen", "jaxgen.config", "jaxgen.errors", "jaxgen.files"},
    "jaxgen/inference": {
        "jaxgen.shipped", "jaxgen.sampling", "jaxgen.config", "jaxgen.palettes", *BASE - {"jaxgen.plots"},
        "onnxruntime", "onnx", "openvino", "tract",
    },
    "jaxgen/evaluation": {
        "jaxgen.inference", "jaxgen.palettes", "jaxgen.shipped", "jaxgen.errors", "jaxgen.files", "jaxgen.images",
    },
    "jaxgen/data": {
        "jaxgen.errors", "jaxgen.files", "jaxgen.images", "jaxgen.palettes", "PIL", "sklearn", "grain",
        "tensorflow_datasets", "google", "pyarrow",
    },
    "jaxgen/latent": {
        "jaxgen.inference", "jaxgen.sampling", "jaxgen.data", "jaxgen.errors", "jaxgen.images", "jaxgen.plots",
        "sklearn",
    },
    "jaxgen/models": {"jaxgen.config", "jaxgen.sampling", "jaxgen.errors", "jax", "flax"},
    "jaxgen/training": {
        "jaxgen.config", "jaxgen.data", "jaxgen.evaluation", "jaxgen.models", "jaxgen.runs", "jaxgen.sampling",
        *BASE, "jax", "optax", "orbax", "rich", "tensorboardX",
    },
    "export/jaxgen_export": {
        "jaxgen.config", "jaxgen.models", "jaxgen.sampling", "jaxgen.inference", *BASE - {"jaxgen.plots"},
        "jax", "torch", "onnx", "safetensors", "onnxruntime",
    },
    "export/jaxgen_export/graphs": {"jaxgen.sampling", "onnx", "torch"},
    "export/jaxgen_export/torch_models": {"jaxgen.config", "torch"},
    "serve/jaxgen_serve": {
        "jaxgen.data", "jaxgen.inference", "jaxgen.latent", "jaxgen.sampling", "jaxgen.shipped",
        *BASE - {"jaxgen.plots"}, "PIL", "anyio", "fastapi", "fastapi_offline", "prometheus_client", "psutil",
        "pydantic", "starlette", "uvicorn",
    },
    "serve/jaxgen_serve/dashboard": {
        "jaxgen.config", "jaxgen.data", "jaxgen.inference", "jaxgen.runs", "jaxgen.sampling", "jaxgen.shipped",
        *BASE - {"jaxgen", "jaxgen.plots"}, "PIL", "altair", "psutil", "streamlit",
    },
    "jaxgen/cli": {
        "jaxgen.config", "jaxgen.data", "jaxgen.evaluation", "jaxgen.inference", "jaxgen.latent", "jaxgen.models",
        "jaxgen.palettes", "jaxgen.runs", "jaxgen.sampling", "jaxgen.shipped", "jaxgen.training", *BASE,
        "click", "python_multipart", "rich",
        *(
            f"jaxgen_export.{part}"
            for part in ("adopt", "benchmark", "compose", "export", "import_weights", "quantization", "torch_models")
        ),
        *(f"jaxgen_serve.{part}" for part in ("dashboard", "server", "settings", "sockets", "web")),
    },
}  # fmt: skip
# Within the server a request comes down: api, batching, models; the gallery and the middleware know none of them.
SERVER = {
    "api": {"batching", "models", "gallery", "middleware", "web", "errors", "metrics", "settings"},
    "batching": {"models", "metrics"},
    "models": set(),
    "gallery": set(),
    "middleware": {"errors", "metrics", "settings"},
    "web": {"models"},
    "dashboard": {"models", "settings"},
}


def python_files(*folders: str) -> list[Path]:
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


# Without the entry point, and the alias of an earlier version.
BASE_FILES = [file for file in sorted((ROOT / "jaxgen").glob("*.py")) if file.stem not in ("__main__", "sampler")]


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
    return ".".join(parts[:2]) if parts[0] in PACKAGES and known(parts) else parts[0]


def known(parts: list[str]) -> bool:
    """Whether 'jaxgen.x' is a room or a file, and not something that jaxgen/__init__.py names."""
    place = PACKAGES[parts[0]]
    return len(parts) > 1 and ((place / parts[1]).is_dir() or (place / f"{parts[1]}.py").is_file())


@functools.cache
def everywhere(file: Path) -> set[str]:
    return modules([node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.stmt)])


def when_loaded(file: Path) -> set[str]:
    """Without what stands in functions or under TYPE_CHECKING."""
    return modules(ast.parse(file.read_text("utf-8")).body)


def label(value: object) -> str:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(value)


def test_package_names_nothing_but_the_model_and_its_old_alias():
    import jaxgen
    from jaxgen.inference.model import Model
    from jaxgen.sampler import Sampler

    assert jaxgen.Model is Model and issubclass(Sampler, Model) and Sampler.draw is Model.sample
    with pytest.raises(AttributeError, match="no attribute 'Modle'"):
        jaxgen.Modle  # noqa: B018


@pytest.mark.parametrize("file", BASE_FILES, ids=label)
def test_base_file_imports_light_things_alone(file):
    allowed = {"numpy", "PIL"} | BASE
    assert when_loaded(file) <= allowed
    assert everywhere(file) <= allowed | INSIDE_FUNCTIONS.get(label(file), set())


def files_of(room: str) -> list[Path]:
    """Without those of a room inside this one."""
    inner = [ROOT / other for other in ROOMS if other.startswith(f"{room}/")]
    return [file for file in python_files(room) if not any(file.is_relative_to(other) for other in inner)]


def imports(file: Path, room: str) -> set[str]:
    """What a file of a room imports from outside; the server's own rooms are in a table of theirs."""
    own = "jaxgen_serve" if room.startswith("serve/") else room.replace("/", ".").removeprefix("export.")
    return {name for name in everywhere(file) if not f"{name}.".startswith(f"{own}.")} - {"numpy"}


def server_imports(file: Path, room: str) -> set[str]:
    names = {name.partition(".")[2] for name in everywhere(file) if name.startswith("jaxgen_serve.")}
    return names - {room}


@pytest.mark.parametrize(("room", "file"), [(room, file) for room in ROOMS for file in files_of(room)], ids=label)
def test_room_imports_what_lies_below_it(room, file):
    assert imports(file, room) <= ROOMS[room]


@pytest.mark.parametrize(
    ("room", "file"),
    [(room, file) for room in SERVER for file in python_files(f"serve/jaxgen_serve/{room}")],
    ids=label,
)
def test_room_of_the_server_imports_what_lies_below_it(room, file):
    assert server_imports(file, room) <= SERVER[room]


def test_tables_allow_nothing_that_no_file_imports():
    unused = {room: ROOMS[room].difference(*(imports(file, room) for file in files_of(room))) for room in ROOMS}
    for room, allowed in SERVER.items():
        files = python_files(f"serve/jaxgen_serve/{room}")
        unused[f"server's {room}"] = allowed.difference(*(server_imports(file, room) for file in files))
    assert {room: names for room, names in unused.items() if names} == {}


@pytest.mark.parametrize("file", python_files("jaxgen", "export", "serve"), ids=label)
def test_no_module_takes_another_ones_underscore_names(file):
    nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
    aliases = [alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    imported = {alias.asname or alias.name for alias in aliases}
    used = {alias.name for alias in aliases}
    used |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) in imported}
    private = {name for name in used if name.startswith("_") and not name.startswith("__")}
    assert private <= {"_exit", "_fields"}  # of os and of named tuples, whose documentation has them


def test_no_two_modules_import_each_other():
    assert_no_circle({module_name(file): imported_modules(file) for file in python_files("jaxgen", "export", "serve")})


def test_no_two_rooms_import_each_other():
    """Not over others either, and without an exception; a file of a package's root is a room of its own."""
    arrows: dict[str, set[str]] = {}
    for file in python_files("jaxgen", "export", "serve"):
        own = shortened(module_name(file))
        arrows.setdefault(own, set()).update({shortened(name) for name in imported_modules(file)} - {own})
    assert_no_circle(arrows)


def assert_no_circle(arrows: dict[str, set[str]]) -> None:
    state: dict[str, str] = {}

    def visit(name: str, path: list[str]) -> None:
        assert state.get(name) != "open", " -> ".join([*path[path.index(name) :], name])
        if name in state:
            return
        state[name] = "open"
        for other in sorted(arrows.get(name, set())):
            visit(other, [*path, name])
        state[name] = "done"

    for name in arrows:
        visit(name, [])


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] in ("export", "serve") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(file: Path) -> set[str]:
    """The modules of ours that a file imports, in functions and for the type checker alone included."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    own = module_name(file)
    return {name for name in names & module_names() if not own.startswith(f"{name}.")} - {own}


@functools.cache
def module_names() -> set[str]:
    return {module_name(file) for file in python_files("jaxgen", "export", "serve")}


# At once: an import of each takes seconds. Without the dashboard, whose pages Streamlit runs.
LIGHT_MODULES = ", ".join(map(module_name, [*BASE_FILES, *python_files(*LIGHT)]))
SERVED = ", ".join(module_name(file) for file in python_files("serve/jaxgen_serve") if "dashboard" not in file.parts)


@pytest.mark.parametrize("file", sorted((ROOT / "jaxgen/cli").glob("*.py")), ids=label)
def test_command_module_loads_click_and_errors_alone(file):
    assert when_loaded(file) <= {"click", "jaxgen", "jaxgen.cli", "jaxgen.errors"}


@pytest.mark.parametrize("modules", ["jaxgen.cli", LIGHT_MODULES, SERVED], ids=["commands", "light", "served"])
def test_light_modules_load_no_framework(modules):
    heavy = {"jax", "flax", "torch", "tensorflow", "onnx", "tensorflow_datasets", "sklearn", "matplotlib"}
    code = f"import {modules}, sys; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
