"""The TorchScript file: loaded by a process that has torch and none of jaxgen, held against the ONNX file."""

import json
import subprocess
import sys
import sysconfig
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from tiny import FAMILIES

from jaxgen.inference.verify import compare_images
from jaxgen.sampling import sampler_spec
from jaxgen_export import torch_models, torchscript

# Runs with -I -S: no environment, no .pth files (an editable install of jaxgen is one), nothing but what is appended.
READER = """
import sys
sys.path.append(sys.argv[1])
for name in ("jaxgen", "jaxgen_export", "jax", "flax", "onnx", "onnxruntime"):
    sys.modules[name] = None
import json, numpy, torch
extra = {"manifest.json": ""}
model = torch.jit.load(sys.argv[2], _extra_files=extra)
results = {}
for number, request in enumerate(json.loads(sys.argv[4])):
    inputs = {name: torch.tensor(value, dtype=torch.float32 if name in ("guidance", "plan", "state") else torch.int64)
              for name, value in request.items()}
    with torch.inference_mode():
        images, state = model(**inputs)
    results |= {f"images{number}": images.numpy(), f"state{number}": state.numpy()}
numpy.savez(sys.argv[3], **results)
names = [argument.name for argument in model.forward.schema.arguments if argument.name != "self"]
print(json.dumps({"names": names, "manifest": json.loads(extra["manifest.json"])}))
"""


@pytest.fixture(scope="module")
def requests(model):
    """All inputs by name, as lists."""
    diffusion = model.config.diffusion
    several = {"seed": [0, 1, 2**31, 2**32 - 1, 5, 5, 5], "index": [0, 2**32 - 1, 3, 4, 5, 6, 7]}
    two, one = {"seed": [1, 1], "index": [0, 1]}, {"seed": [7], "index": [9]}
    if model.classes:
        several |= {"label": [-1, 0, 1, 2, 2, 1, 0]}
        two |= {"label": [0, 2], "guidance": 1.0}
        one |= {"label": [1], "guidance": 3.0}
    start = np.random.default_rng(0).standard_normal((2, 2, 8, 8, model.config.data.channels)).round(3)
    multistep = sampler_spec.from_config(diffusion, sampler="dpmpp-2m", steps=6).tolist()
    return [
        several,
        one | {"plan": sampler_spec.from_config(diffusion, sampler="ancestral").tolist()},
        two | {"plan": multistep},
        two | {"plan": multistep[2:], "state": start.tolist()},
    ]


@pytest.fixture(scope="module")
def read(model, requests, tmp_path_factory):
    """What the other process says of the file, and the arrays that it sampled."""
    arrays = tmp_path_factory.mktemp("torchscript") / "sampled.npz"
    site_packages = sysconfig.get_paths()["purelib"]
    arguments = [site_packages, str(model.torchscript), str(arrays), json.dumps(requests)]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "ignore", "-c", READER, *arguments],
        capture_output=True, text=True, check=False, cwd=arrays.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), np.load(arrays)


def test_inputs_are_those_of_the_onnx_file_by_name_and_order(read, model):
    extra = ["label", "guidance"] if model.classes else []
    assert read[0]["names"] == ["seed", "index", *extra, "plan", "state"]


def test_manifest_is_that_of_the_onnx_file(read, model):
    assert read[0]["manifest"] == model.manifest


def test_images_and_states_are_those_of_the_onnx_file(read, model, requests):
    session = onnxruntime.InferenceSession(model.onnx.read_bytes())
    for number, request in enumerate(requests):
        feeds = {name: np.asarray(value) for name, value in request.items()}
        feeds |= {name: feeds[name].astype(np.float32) for name in ("guidance", "plan", "state") if name in feeds}
        images, state = session.run(["images", "state_out"], feeds)
        found = read[1][f"images{number}"]
        assert (found.dtype, found.shape) == (np.uint8, images.shape)
        result = compare_images(found, images)
        assert result["identical"] >= 0.995
        assert result["off_by"] <= 1
        np.testing.assert_allclose(read[1][f"state{number}"], state, rtol=0, atol=5e-4)


def test_empty_state_starts_from_noise(model):
    scripted = torch.jit.load(model.torchscript)
    inputs = {"seed": torch.tensor([1]), "index": torch.tensor([2])}
    if model.classes:
        inputs["label"] = torch.tensor([0])
    with torch.inference_mode():
        want = scripted(**inputs)[0]
        found = scripted(**inputs, state=torch.zeros(2, 0, 8, 8, model.config.data.channels))[0]
    assert torch.equal(found, want)


def test_warnings_of_torchscript_are_kept_from_users():
    """It is deprecated since PyTorch 2.11, which says so by default from 2.15 on: none of that comes out."""
    config = FAMILIES["gan-unconditional"]
    torch_model = torch_models.build(config)
    core = torch_model.cores[0].part(torch_model).eval()
    example = [torch.zeros(2, config.model.latent), torch.full((2,), -1)]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torchscript.dump(torchscript.script(core, config, example), {"format": 2})
        torchscript.dump(torchscript.traced(core, example), {"format": 2})
    assert [str(warning.message) for warning in seen] == []
