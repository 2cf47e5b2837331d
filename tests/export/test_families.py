"""The files of every family but diffusion: whole or not there at all, and weights that plain PyTorch takes."""

import json

import numpy as np
import onnx
import pytest
import safetensors
import torch
from runtimes import assert_same, noise, random_pixels, requests, session
from schemas import VALIDATOR
from tiny import FAMILIES, random_weights
from torch import nn

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import to_uint8, to_unit
from jaxgen.inference import model_file
from jaxgen.inference.opening import opened
from jaxgen.inference.verify import verify
from jaxgen_export import bundle, torch_models
from jaxgen_export.export import OutputPaths, export_model

# --- files


def files(model):
    return [path for path in (model.onnx, model.encoder) if path.exists()]


@pytest.mark.parametrize("name", FAMILIES)
def test_file_is_whole_and_holds_onnx_own_operators_alone(family, name):
    for path in files(family(name)):
        proto = onnx.load_from_string(path.read_bytes())
        onnx.checker.check_model(proto, full_check=True)
        assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 20)]
        assert not proto.functions and {node.domain for node in proto.graph.node} == {""}
        assert verify(opened(model_file.read(path)))["same"]


WANTED = {  # of the inference section, besides what all have
    "flow": {
        "null_class": True, "noise_shape": [8, 8, 1], "process": {"kind": "flow", "time_scale": 1000.0},
        "plan": {"sampler": "euler", "steps": 6, "eta": 0.0}, "guidance": 1.5,
    },
    "vae": {"null_class": False, "noise_shape": [3], "process": None, "likelihood": {"kind": "bernoulli"}},
    "vae-convolutional": {"null_class": True, "noise_shape": [4], "process": None, "likelihood": {"kind": "bernoulli"}},
    "vae-label": {"null_class": False, "noise_shape": [3], "process": None, "likelihood": {"kind": "bernoulli"}},
    "gan": {"null_class": False, "noise_shape": [5], "process": None},
    "gan-unconditional": {"null_class": True, "noise_shape": [7], "process": None},
    "classifier": {},
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_manifest_of_each_kind_is_what_the_schema_and_the_readme_say(family, name):
    model = family(name)
    for path in files(model):
        manifest = model_file.read(path).manifest
        VALIDATOR.validate(manifest)
        kind = "encoder" if path == model.encoder else "classifier" if name == "classifier" else "sampler"
        want = WANTED[name] if kind == "sampler" else {k: v for k, v in WANTED[name].items() if k == "likelihood"}
        common = {"kind": kind, "image_shape": [8, 8, model.config.data.channels], "classes": list(model.classes)}
        takes_label = {"takes_label": True} if (name, kind) == ("vae-label", "encoder") else {}
        assert manifest["inference"] == common | want | takes_label
        assert manifest["requires"] == list(takes_label)


@pytest.mark.parametrize("name", ["gan", "classifier"])
def test_encoder_of_a_model_without_one_is_refused(name, tmp_path):
    config = FAMILIES[name]
    with pytest.raises(UsageError, match="has no encoder"):
        export_model(
            config,
            random_weights(config),
            tmp_path / "m.onnx",
            classes="abc",
            beside=OutputPaths(encoder=tmp_path / "e"),
        )
    assert not list(tmp_path.iterdir())


def test_wrong_encoder_is_refused_and_nothing_is_written(family, tmp_path, monkeypatch):
    model, build = family("vae"), bundle.build

    def build_wrongly(twin, core, config):
        twin.encoder.log_variance.bias += 0.01
        return build(twin, core, config)

    monkeypatch.setattr(bundle, "build", build_wrongly)
    places = {name: tmp_path / name for name in ("encoder", "torchscript", "safetensors", "torch")}
    with pytest.raises(JaxgenError, match="differs from JAX"):
        export_model(model.config, model.params, tmp_path / "m", classes=model.classes, beside=OutputPaths(**places))
    assert not list(tmp_path.iterdir())


def test_file_that_cannot_be_written_leaves_none_of_the_others(family, tmp_path):
    model = family("classifier")
    places = OutputPaths(safetensors=tmp_path / "w", torch=tmp_path / "none" / "s.pth")
    with pytest.raises(JaxgenError, match="there is no folder"):
        export_model(
            model.config, model.params, tmp_path / "m", classes=model.classes, beside=places, certify=False
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


# --- weights alone


class Flat(nn.Sequential):
    """Layers one after the other, called by the names that a state has for them."""

    def load(self, state, names):
        for layer, name in zip([m for m in self if m.state_dict()], names, strict=True):
            layer.load_state_dict({k.removeprefix(name + "."): v for k, v in state.items() if k.startswith(name + ".")})
        return self.eval()


def read_safetensors(path):
    with safetensors.safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.fixture(params=["safetensors", "state"])
def state_of(request):
    def get(model):
        if request.param == "state":
            return torch.load(model.state, weights_only=True)
        return read_safetensors(model.safetensors)[0]

    return get


def pixels_of(found):
    return to_uint8(found.detach().permute(0, 2, 3, 1).numpy())


def test_weights_sample_the_same_in_a_plain_vae(family, state_of):
    model = family("vae-convolutional")
    net = Flat(
        nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 8 * 2 * 2), nn.Unflatten(1, (8, 2, 2)), nn.SiLU(),
        nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1), nn.SiLU(),
        nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1), nn.Sigmoid(),
    )  # fmt: skip
    net.load(state_of(model), [f"decoder.{n}" for n in ("hidden.0", "out", "convolutions.0", "convolutions.1")])
    feeds = requests(model)
    z = torch.from_numpy(noise(model, feeds["seed"], feeds["index"]))
    assert_same(pixels_of(2 * net(z) - 1), session(model.onnx).run(None, feeds)[0])


def test_weights_sample_the_same_in_a_plain_gan(family, state_of):
    model, state = family("gan"), state_of(family("gan"))
    net = Flat(
        nn.Linear(5 + 4, 8 * 2 * 2), nn.Unflatten(1, (8, 2, 2)),
        nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1),
        nn.BatchNorm2d(6), nn.ReLU(), nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1),
        nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 1, 3, padding=1), nn.Tanh(),
    )  # fmt: skip
    names = ["linear", "norms.0", "layers.0", "norms.1", "layers.1", "norms.2", "layers.2"]
    net.load(state, [f"generator.{name}" for name in names])
    feeds = requests(model) | {"label": np.array([0, 1, 2, 2, 1, 0, 0])}
    z = torch.from_numpy(noise(model, feeds["seed"], feeds["index"]))
    named = torch.cat([z, state["generator.label.weight"][torch.from_numpy(feeds["label"])]], dim=1)
    assert_same(pixels_of(net(named)), session(model.onnx).run(None, feeds)[0])


def test_weights_classify_the_same_in_a_plain_classifier(family, state_of):
    model = family("classifier")
    net = Flat(
        nn.Conv2d(1, 4, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 4, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(6 * 2 * 2, 8), nn.ReLU(), nn.Linear(8, 3),
    ).load(state_of(model), ["layers.0", "layers.1", "linear", "out"])  # fmt: skip
    images = random_pixels(model)
    found = net(torch.from_numpy(to_unit(images)).permute(0, 3, 1, 2)).detach()
    np.testing.assert_allclose(found, session(model.onnx).run(None, {"images": images})[0], atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_state_dict_loads_into_the_twin(family, name):
    model = family(name)
    state = torch.load(model.state, weights_only=True)
    assert type(state) is dict
    torch_models.build(model.config).load_state_dict(state)
    others, metadata = read_safetensors(model.safetensors)
    assert others.keys() == state.keys() and all(torch.equal(others[name], state[name]) for name in state)
    assert json.loads(metadata["config"]) == model.manifest["config"]
    assert metadata["weights"] == model.manifest["weights"]["sha256"]
