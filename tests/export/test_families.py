"""Models that draw in one evaluation and models that read, as any ONNX runtime or PyTorch sees their files."""

import json

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import torch
from tiny import FAMILIES, random_weights
from torch import nn

from jaxgen import artifact
from jaxgen.artifact import decode_pictures
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import to_uint8, to_unit
from jaxgen.models import network
from jaxgen.parity import verify
from jaxgen_export import product, torch_sampler, twins, weights
from jaxgen_export.export import Places, export_model

DRAW_AT_ONCE = ["vae", "vae-convolutional", "gan", "gan-unconditional"]
READ = {"vae": "encoder", "vae-convolutional": "encoder", "classifier": "classifier"}
BACKENDS = ["onnxruntime", "pytorch", "torchscript"]


@pytest.fixture(params=DRAW_AT_ONCE)
def drawer(family, request):
    return family(request.param)


@pytest.fixture(params=READ)
def reader(family, request):
    """A model and the kind of its file that reads."""
    return family(request.param), READ[request.param]


@pytest.fixture
def read_file(reader):
    model, kind = reader
    return model.encoder if kind == "encoder" else model.onnx


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def requests(model, count=7):
    """seed, index and, where there are classes, label, as the contract has them."""
    feeds = {"seed": np.array([0, 1, 2**31, 2**32 - 1, 5, 5, 5])[:count], "index": np.arange(9, 9 + count)}
    return feeds | ({"label": np.array([0, 1, 2, 2, 1, -1, 0])[:count]} if model.classes else {})


def noise(model, seed, index):
    """Draw 0 of each picture's key, by jax.random."""
    keys = [jax.random.fold_in(jax.random.key(np.uint32(s)), np.uint32(i)) for s, i in zip(seed, index, strict=True)]
    return np.stack([jax.random.normal(jax.random.fold_in(key, 0), model.config.noise_shape) for key in keys])


def by_jax(model, feeds, z=None):
    z = noise(model, feeds["seed"], feeds["index"]) if z is None else z
    label = feeds.get("label", np.full(len(z), -1))
    return to_uint8(jax.jit(network.build(model.config).apply)(model.params, z, label.astype(np.int32)))


def assert_same(found, want):
    assert (found.dtype, found.shape) == (np.uint8, want.shape)
    difference = np.abs(found.astype(int) - want)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.995


def random_pixels(model, count=7):
    return np.random.default_rng(count).integers(0, 256, (count, *model.config.data.shape), np.uint8)


# --- drawing in one evaluation


def test_inputs_and_outputs_are_those_of_the_contract(drawer):
    loaded, words = session(drawer.onnx), ("tensor(int64)", ["N"])
    required = {value.name: (value.type, value.shape) for value in loaded.get_inputs()}
    assert required == {"seed": words, "index": words, **({"label": words} if drawer.classes else {})}
    (latent,) = loaded.get_overridable_initializers()
    assert (latent.name, latent.type, latent.shape[1:]) == ("latent", "tensor(float)", [*drawer.config.noise_shape])
    (images,) = loaded.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["N", *drawer.config.data.shape])
    order = [value.name for value in onnx.load(drawer.onnx).graph.input]
    assert order == ["seed", "index", *(["label"] if drawer.classes else []), "latent"]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_pictures_are_those_of_jax_in_every_runtime(drawer, count):
    feeds = requests(drawer, count)
    want = by_jax(drawer, feeds)
    assert ((want > 0) & (want < 255)).mean() > 0.5
    assert count == 1 or want.std(axis=0).max() > 2
    inputs = {name: torch.from_numpy(value) for name, value in feeds.items()}
    twin = twins.build(drawer.config)
    weights.load_into(twin, drawer.params)
    eager = torch_sampler.sampler(twin.cores[0].part(twin), drawer.config)
    assert_same(session(drawer.onnx).run(None, feeds)[0], want)
    assert_same(eager(**inputs).numpy(), want)
    assert_same(torch.jit.load(drawer.torchscript)(**inputs).numpy(), want)


def test_latent_that_is_given_is_decoded_in_place_of_the_noise(drawer):
    feeds = requests(drawer)
    z = 2 * np.random.default_rng(1).standard_normal((7, *drawer.config.noise_shape)).astype(np.float32)
    want = by_jax(drawer, feeds, z)
    assert (want != by_jax(drawer, feeds)).mean() > 0.5
    assert_same(session(drawer.onnx).run(None, feeds | {"latent": z})[0], want)
    inputs = {name: torch.from_numpy(value) for name, value in (feeds | {"latent": z}).items()}
    assert_same(torch.jit.load(drawer.torchscript)(**inputs).numpy(), want)


def test_empty_latent_is_the_noise(drawer):
    feeds, empty = requests(drawer), np.zeros((0, *drawer.config.noise_shape), np.float32)
    loaded, scripted = session(drawer.onnx), torch.jit.load(drawer.torchscript)
    np.testing.assert_array_equal(loaded.run(None, feeds | {"latent": empty})[0], loaded.run(None, feeds)[0])
    inputs = {name: torch.from_numpy(value) for name, value in feeds.items()}
    assert torch.equal(scripted(**inputs, latent=torch.from_numpy(empty)), scripted(**inputs))


def test_latents_of_another_width_are_refused(drawer):
    latent = np.zeros((7, drawer.config.noise_shape[0] + 1), np.float32)
    with pytest.raises(Exception, match=r"(?i)shape|dimension"):
        session(drawer.onnx).run(None, requests(drawer) | {"latent": latent})


def test_picture_is_the_same_in_every_batch(drawer):
    """Running statistics, and not those of the batch."""
    feeds, loaded = requests(drawer), session(drawer.onnx)
    together = loaded.run(None, feeds)[0]
    for i in range(7):
        alone = loaded.run(None, {name: value[i : i + 1] for name, value in feeds.items()})[0]
        assert_same(alone[0], together[i])


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_label_counts(family, name):
    model = family(name)
    feeds = {"seed": np.zeros(4, np.int64), "index": np.zeros(4, np.int64), "label": np.array([-1, 0, 1, 2])}
    none, *named = session(model.onnx).run(None, feeds)[0]
    assert len({picture.tobytes() for picture in named}) == 3
    assert np.array_equal(none, named[0]) == (name == "gan")  # which knows no picture without a class


def test_torchscript_takes_the_contracts_inputs_and_knows_its_manifest(drawer):
    extra = {"manifest.json": ""}
    loaded = torch.jit.load(drawer.torchscript, _extra_files=extra)
    names = [argument.name for argument in loaded.forward.schema.arguments][1:]
    assert names == ["seed", "index", *(["label"] if drawer.classes else []), "latent"]
    assert json.loads(extra["manifest.json"]) == drawer.manifest
    held = {tuple(value.shape) for value in loaded.state_dict().values()}
    part = "generator." if any(name.startswith("generator.") for name in drawer.params) else "decoder."
    assert sum(value.numel() for value in loaded.state_dict().values() if value.is_floating_point()) == sum(
        value.size for name, value in drawer.params.items() if name.startswith(part)
    ), held  # nothing that drawing does not need


# --- reading


def test_reader_says_what_jax_says_in_every_runtime(reader, read_file):
    model, kind = reader
    method = {"encoder": "encode", "classifier": "__call__"}[kind]
    apply, loaded = network.build(model.config).apply, session(read_file)
    for count in (1, 2, 7):
        pictures = random_pixels(model, count)
        said = jax.jit(lambda x: apply(model.params, x, method=method))(pictures / np.float32(127.5) - 1)
        found = loaded.run(None, {"images": pictures})
        for a, b in zip(found, jax.tree.leaves(said), strict=True):
            assert a.dtype == np.float32 and np.asarray(b).std(axis=1).max() > 1e-3
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
        if kind == "classifier":
            np.testing.assert_allclose(torch.jit.load(model.torchscript)(torch.from_numpy(pictures)), said, atol=1e-5)


def test_readers_inputs_and_outputs_are_those_of_the_contract(reader, read_file):
    model, kind = reader
    loaded = session(read_file)
    (images,) = loaded.get_inputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["N", *model.config.data.shape])
    assert not loaded.get_overridable_initializers()
    names = {"encoder": ["mean", "log_variance"], "classifier": ["logits"]}[kind]
    width = model.config.model.latent if kind == "encoder" else 3
    given = [(value.name, value.type, value.shape) for value in loaded.get_outputs()]
    assert given == [(name, "tensor(float)", ["N", width]) for name in names]


def test_readers_manifest_is_that_of_the_same_weights(reader, read_file):
    model, kind = reader
    manifest = artifact.read(read_file).manifest
    assert manifest["kind"] == kind
    assert "plans" not in manifest
    assert manifest["weights"] == model.manifest["weights"]
    assert manifest["weights"]["sha256"] == weights.weights_hash(model.params)
    held = manifest["certificate"]
    assert held["trajectories"] == []
    rows = [(row["backend"], row["input"], row["batch"]) for row in held["evaluation"]]
    assert sorted(rows) == sorted((b, i, n) for b in BACKENDS for i in ("constant", "random") for n in (1, 2, 7))
    assert all(row["relative"] <= 1e-4 for row in held["evaluation"])


def test_readers_probe_is_what_jax_says(reader, read_file):
    model, kind = reader
    probe = artifact.read(read_file).manifest["certificate"]["probe"]
    pictures = decode_pictures(probe["pictures"])
    assert len(np.unique(pictures)) > 100
    method = {"encoder": "encode", "classifier": "__call__"}[kind]
    said = network.build(model.config).apply(model.params, to_unit(pictures), method=method)
    for name, want in zip(probe["outputs"], jax.tree.leaves(said), strict=True):
        np.testing.assert_allclose(np.array(probe["outputs"][name]), want, atol=1e-5)
    assert verify(artifact.read(read_file))["same"]


# --- both


def files(model):
    return [path for path in (model.onnx, model.encoder) if path.exists()]


@pytest.mark.parametrize("name", FAMILIES)
def test_file_is_whole_and_holds_onnx_own_operators_alone(family, name):
    for path in files(family(name)):
        proto = onnx.load_from_string(path.read_bytes())
        onnx.checker.check_model(proto, full_check=True)
        assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 20)]
        assert not proto.functions and {node.domain for node in proto.graph.node} == {""}
        assert verify(artifact.read(path))["same"]


@pytest.mark.parametrize("name", DRAW_AT_ONCE)
def test_certificate_compares_drawn_pictures_too(family, name):
    model = family(name)
    assert (model.manifest["kind"], model.manifest["plans"]) == ("sampler", {})
    held = model.manifest["certificate"]
    rows = [(row["backend"], row["start"], row["batch"]) for row in held["trajectories"]]
    assert sorted(rows) == sorted((b, s, n) for b in BACKENDS for s in ("constant", "noise") for n in (1, 2, 7))
    assert all(row["plan"] is None and row["guidance"] is None for row in held["trajectories"])
    assert held["probe"]["label"] == ([0, 1, 2, 0, 1, 2, 0, 1] if model.classes else [-1] * 8)
    feeds = {"seed": np.zeros(8, np.int64), "index": np.arange(8), "label": np.array(held["probe"]["label"])}
    np.testing.assert_array_equal(decode_pictures(held["probe"]["pictures"]), by_jax(model, feeds))


def test_uncertified_file_draws_the_same(family, tmp_path):
    model = family("gan")
    manifest = export_model(
        model.config, model.params, tmp_path / "m.onnx", classes=model.classes, training={"untrained": True},
        certify=False,
    )  # fmt: skip
    assert "certificate" not in manifest and manifest["training"] == {"untrained": True}
    feeds = requests(model)
    np.testing.assert_array_equal(session(tmp_path / "m.onnx").run(None, feeds), session(model.onnx).run(None, feeds))


@pytest.mark.parametrize("name", ["gan", "classifier"])
def test_encoder_of_a_model_without_one_is_refused(name, tmp_path):
    config = FAMILIES[name]
    with pytest.raises(UsageError, match="has no encoder"):
        export_model(
            config, random_weights(config), tmp_path / "m.onnx", classes="abc", beside=Places(encoder=tmp_path / "e")
        )
    assert not list(tmp_path.iterdir())


def test_wrong_encoder_is_refused_and_nothing_is_written(family, tmp_path, monkeypatch):
    model, build = family("vae"), product.build

    def build_wrongly(twin, core, config):
        twin.encoder.log_variance.bias += 0.01
        return build(twin, core, config)

    monkeypatch.setattr(product, "build", build_wrongly)
    places = {name: tmp_path / name for name in ("encoder", "torchscript", "safetensors", "torch")}
    with pytest.raises(JaxgenError, match="is not JAX's equal"):
        export_model(model.config, model.params, tmp_path / "m", classes=model.classes, beside=Places(**places))
    assert not list(tmp_path.iterdir())


def test_file_that_cannot_be_written_leaves_none_of_the_others(family, tmp_path):
    model = family("classifier")
    places = Places(safetensors=tmp_path / "w", torch=tmp_path / "none" / "s.pth")
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


def test_weights_draw_the_same_in_a_plain_vae(family, state_of):
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


def test_weights_draw_the_same_in_a_plain_gan(family, state_of):
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


def test_weights_tell_the_same_in_a_plain_classifier(family, state_of):
    model = family("classifier")
    net = Flat(
        nn.Conv2d(1, 4, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 4, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(6 * 2 * 2, 8), nn.ReLU(), nn.Linear(8, 3),
    ).load(state_of(model), ["layers.0", "layers.1", "linear", "out"])  # fmt: skip
    pictures = random_pixels(model)
    found = net(torch.from_numpy(to_unit(pictures)).permute(0, 3, 1, 2)).detach()
    np.testing.assert_allclose(found, session(model.onnx).run(None, {"images": pictures})[0], atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_state_dict_loads_into_the_twin(family, name):
    model = family(name)
    state = torch.load(model.state, weights_only=True)
    assert type(state) is dict
    twins.build(model.config).load_state_dict(state)
    others, metadata = read_safetensors(model.safetensors)
    assert others.keys() == state.keys() and all(torch.equal(others[name], state[name]) for name in state)
    assert json.loads(metadata["config"]) == model.manifest["config"]
    assert metadata["weights"] == model.manifest["weights"]["sha256"]
