"""The client for Node.js in docs/clients/node: npm installs it, and it samples what Python samples."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from golden import calls

from jaxgen.images import read_png
from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen.inference.required_inputs import with_required_inputs
from jaxgen.inference.verify import same_images

CLIENT = Path(__file__).parents[1] / "docs/clients/node"
GOLDEN = calls.HERE / "format2"
SECONDS = 600  # that npm may take for onnxruntime-node's 100 MB
SEED, FIRST, COUNT = 4_000_000_007, 2**31, 5  # beyond int32


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A copy of the client, installed as its README says."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("THE NODE CLIENT WAS NOT TESTED: npm is not installed (Debian: apt install npm)")
    folder = tmp_path_factory.mktemp("node") / "client"
    shutil.copytree(CLIENT, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        pytest.skip(f"THE NODE CLIENT WAS NOT TESTED: npm could not install it (exit code {done.returncode})")
    yield folder
    shutil.rmtree(folder)  # 300 MB


@pytest.fixture
def node(client):
    """node(model file, *options): sample.mjs in a process of its own."""

    def run(path: Path, *options: object) -> subprocess.CompletedProcess:
        command = ["node", "sample.mjs", str(path), *map(str, options)]
        return subprocess.run(command, cwd=client, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture
def required(tmp_path):
    """required(path): that model file without defaults."""

    def make(path: Path) -> Path:
        made = tmp_path / "required.onnx"
        made.write_bytes(with_required_inputs(model_file.read(path)).data)
        return made

    return make


def python(path: Path, label: int | None, **inputs: object) -> np.ndarray:
    model, index = Model.open(path), np.arange(FIRST, FIRST + COUNT)
    if "plan" in inputs:
        name, steps = str(inputs["plan"]).rsplit("-", 1)
        inputs["plan"] = model.plan(sampler=name, steps=int(steps))
    labels = None if label is None else np.full(COUNT, label)
    return model.sample(np.full(COUNT, SEED), index, label=labels, **inputs)[0]


@pytest.mark.parametrize(
    ("name", "label", "inputs"),
    [
        ("conditional", 2, {"guidance": 2.5, "plan": "ancestral-50"}),
        ("conditional", -1, {"guidance": 1.0}),
        ("unconditional", None, {"plan": "dpmpp-2m-10"}),
        ("unconditional", None, {}),
        ("flow", 1, {"guidance": 3.0, "plan": "euler-20"}),
        ("vae", 0, {}),
        ("gan-unconditional", None, {}),
    ],
)
def test_images_from_node_are_those_of_python(node, required, any_model, tmp_path, name, label, inputs):
    path = any_model(name).onnx
    options = [word for key, value in inputs.items() for word in (f"--{key}", value)]
    options += [] if label is None else [f"--label={label}"]
    where = ("--seed", SEED, "--index", FIRST, "--count", COUNT, "-o", tmp_path / "images.raw")
    done = node(required(path), *options, *where)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    want = python(path, label, **inputs)
    found = np.fromfile(tmp_path / "images.raw", np.uint8).reshape(want.shape)
    assert same_images(found, want)
    assert want.std() > 10


def test_folder_holds_a_png_of_each_image(node, required, conditional, tmp_path):
    where = (
        "--seed",
        SEED,
        "--index",
        FIRST,
        "--count",
        COUNT,
        "--label",
        1,
        "--guidance",
        1,
        "-o",
        f"{tmp_path}/images/",
    )
    done = node(required(conditional.onnx), *where)
    assert (done.returncode, done.stderr) == (0, "")
    paths = sorted((tmp_path / "images").iterdir())
    assert [path.name for path in paths] == [f"seed{SEED}-{FIRST + i}.png" for i in range(COUNT)]
    found = np.stack([read_png(path) for path in paths])
    assert same_images(found, python(conditional.onnx, 1, guidance=1.0))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "--label takes an integer from -1 to 2"),
        (("--label", 3), "--label takes an integer from -1 to 2"),
        (("--label", 1, "--plan", "ddim-7"), "no plan ddim-7; the file has ddim-50, "),
        (("--label", 1, "--seed=-1"), "--seed takes an integer from 0 to 4294967295"),
        (("--label", 1, "--count", "many"), "--count takes an integer from 1 to 4096"),
        (
            ("--label", 1, "--index", 2**32 - 1, "--count", 2),
            "a seed has images 0 to 4294967295, got --index 4294967295 ",
        ),
        (("--label", ""), "--label takes an integer from -1 to 2"),
        *(
            (("--label", 1, f"--guidance={value}"), "--guidance takes a number from 0 to 100")
            for value in ("two", "", "NaN", "1e39", -0.5, 100.5)
        ),
        (("--wrong",), "Unknown option '--wrong'"),
    ],
)
def test_wrong_options_are_one_line(node, required, conditional, options, complaint):
    done = node(required(conditional.onnx), *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"sample.mjs: {complaint}") and done.stderr.count("\n") == 1


def test_label_of_no_class_is_refused_where_the_model_was_trained_without_it(node, required):
    done = node(required(GOLDEN / "gan.onnx"), "--label=-1")
    assert (done.returncode, done.stderr) == (1, "sample.mjs: --label takes an integer from 0 to 2\n")


def test_numbers_that_diverge_are_an_error_and_no_image(node, restamped, tmp_path):
    row = np.array([0, 3e38, 3e38, np.inf, 1, 1, 0, 0, 0], "<f4")  # x0 is infinite, or the difference of two that are

    def diverging(entries):
        entries["plans"]["wild"] = {"table": base64.b64encode(np.tile(row, 4).tobytes()).decode()}

    path = restamped(GOLDEN / "flow.required.onnx", manifest=diverging)
    done = node(path, "--label", 1, "--plan", "wild", "-o", tmp_path / "images.raw")
    assert (done.returncode, done.stderr) == (1, "sample.mjs: sampled NaN: the weights or the plan have diverged\n")
    assert not (tmp_path / "images.raw").exists()


def test_file_with_defaults_is_refused_with_what_to_do(node, conditional):
    done = node(conditional.onnx, "--label", 1)
    assert done.returncode == 1
    assert "jaxgen export MODEL.onnx --inputs required -o required.onnx" in done.stderr


def test_what_an_unconditional_vae_cannot_be_given_is_refused(node, required, family):
    path = required(family("gan-unconditional").onnx)
    for option in ("label", "guidance", "plan"):
        done = node(path, f"--{option}", 1)
        assert (done.returncode, done.stderr) == (1, f"sample.mjs: this model takes no --{option}\n")
