"""Weights from elsewhere: as plain PyTorch networks save them, and as somebody with bad intentions does."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from tiny import FAMILIES, random_weights
from torch import nn

from jaxgen.config.presets import preset
from jaxgen.errors import JaxgenError, UsageError
from jaxgen_export import torch_models, weight_mapping
from jaxgen_export.import_weights import compare, load_state, renamed

GENERATOR = {"fc": "generator.linear", "up1": "generator.layers.0", "up2": "generator.layers.1"}


class Theirs(nn.Module):
    """The generator of 'gan-unconditional', by another author."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(7, 8 * 2 * 2)
        self.up1 = nn.ConvTranspose2d(8, 4, 4, 2, 1)
        self.up2 = nn.ConvTranspose2d(4, 3, 4, 2, 1)

    def forward(self, z):
        h = torch.relu(self.fc(z)).view(-1, 8, 2, 2)
        return torch.tanh(self.up2(torch.relu(self.up1(h))))


def save(path, state):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


def flax_images(config, params, z):
    import jax

    from jaxgen.models import network

    return np.asarray(jax.jit(network.build(config).apply)(params, z, np.zeros(len(z), np.int32)))


@pytest.mark.parametrize("file", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_foreign_generator_samples_the_same_in_jax(tmp_path, file, dtype):
    config, theirs = FAMILIES["gan-unconditional"], Theirs().to(dtype)
    _, params = load_state(save(tmp_path / file, theirs.state_dict()), config, GENERATOR)
    assert all(name.startswith("generator.") and value.dtype == np.float32 for name, value in params.items())
    z = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)
    want = theirs.float()(torch.from_numpy(z)).permute(0, 2, 3, 1).detach().numpy()
    np.testing.assert_allclose(flax_images(config, params, z), want, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("file", ["w.pth", "w.safetensors"])
def test_what_jaxgen_wrote_comes_back_bit_equal(tmp_path, name, file):
    config = FAMILIES[name]
    params = random_weights(config)
    _, found = load_state(save(tmp_path / file, weight_mapping.torch_state(torch_models.build(config), params)), config)
    assert found.keys() == params.keys()
    assert all(np.array_equal(found[key], params[key]) for key in params)


class Published(nn.Module):
    """794-400-20 and 30-400-784, the class beside the pixels and beside the code, as most public CVAEs are."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(794, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(30, 400), nn.Linear(400, 784)

    def encode(self, x, c):
        h = torch.relu(self.fc1(torch.cat([x, c], 1)))
        return self.fc21(h), self.fc22(h)

    def decode(self, z, c):
        return torch.sigmoid(self.fc4(torch.relu(self.fc3(torch.cat([z, c], 1)))))


@torch.no_grad()
def test_published_cvae_encodes_and_decodes_the_same_in_jax(tmp_path):
    from jaxgen.models import network

    config, theirs = preset("cvae-mnist-400"), Published()
    ours = ("encoder.hidden.0", "encoder.mean", "encoder.log_variance", "decoder.hidden.0", "decoder.out")
    names = dict(zip(("fc1", "fc21", "fc22", "fc3", "fc4"), ours, strict=True))
    model, params = load_state(save(tmp_path / "w.pth", theirs.state_dict()), config, names)
    x, z = torch.rand(5, 784), torch.randn(5, 20)
    label = torch.tensor([3, 1, 4, 1, 9])
    c = torch.eye(10)[label]
    apply, images = network.build(config).apply, 2 * x.numpy().reshape(5, 28, 28, 1) - 1
    for mine, want in zip(apply(params, images, label.numpy(), method="encode"), theirs.encode(x, c), strict=True):
        np.testing.assert_allclose(mine, want, atol=1e-5)
    drawn = (apply(params, z.numpy(), label.numpy()) + 1) / 2
    np.testing.assert_allclose(np.asarray(drawn).reshape(5, 784), theirs.decode(z, c), atol=1e-5)
    same, line = compare(config, model, params)
    assert same and "mean, log_variance of 16 images within" in line


def test_names_are_exact_or_prefixes_and_the_longest_counts():
    state = dict.fromkeys(["a.b.weight", "a.b.bias", "a.c.weight", "ab.weight", "d"])
    names = {"a": "x", "a.b": "y.0", "a.b.bias": "z", "": "rest"}
    assert list(renamed(state, names)) == ["y.0.weight", "z", "x.c.weight", "rest.ab.weight", "rest.d"]
    assert list(renamed(state, {"a": ""})) == ["b.weight", "b.bias", "c.weight", "ab.weight", "d"]
    assert list(renamed(state, {})) == list(state)


def test_names_that_fit_nothing_or_clash_are_refused():
    state = dict.fromkeys(["a.weight", "b.weight"])
    with pytest.raises(UsageError, match="no tensor of the file is called 'c'"):
        renamed(state, {"a": "x", "c": "y"})
    with pytest.raises(UsageError, match=r"two tensors of the file would be called 'b\.weight'"):
        renamed(state, {"a": "b"})


class Trap:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


@pytest.mark.parametrize("writer", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_pickled_code_is_refused_and_does_not_run(tmp_path, writer):
    place = tmp_path / "ran"
    for number, value in enumerate([Trap(place), {"a": Trap(place)}, Theirs()]):
        path = tmp_path / f"{number}.pth"
        writer(value, path)
        with pytest.raises(JaxgenError, match=r"refused: it is no state dict, is damaged or holds code") as caught:
            load_state(path, FAMILIES["gan"])
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not place.exists()


@pytest.mark.parametrize("file", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"x" * 100, b"\xff" * 8 + b"{}"])
def test_damaged_file_is_one_line(tmp_path, file, data):
    path = tmp_path / file
    path.write_bytes(data)
    with pytest.raises(JaxgenError) as caught:
        load_state(path, FAMILIES["gan"])
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ([torch.zeros(1)], "expected a state dict with at least one tensor, got list"),
        ({}, "expected a state dict with at least one tensor"),
        ({"g": {"a": torch.zeros(1)}, "d": {"a": torch.zeros(1)}}, "expected a tensor for each name, got dict for 'g'"),
        ({"epoch": 3, "state_dict": {}}, "expected a tensor for each name, got int for 'epoch'"),
        ({"b": torch.zeros(1), "state_dict": {"a": torch.zeros(1)}}, "got dict for 'state_dict'"),
        ({3: torch.zeros(1)}, "expected a tensor for each name"),
        ({"a": torch.zeros(1, dtype=torch.complex64)}, "'a' is no plain tensor of real numbers"),
        ({"a": torch.zeros(2).to_sparse()}, "'a' is no plain tensor of real numbers"),
    ],
)
def test_what_is_no_state_is_refused(tmp_path, value, complaint):
    with pytest.raises(JaxgenError, match=complaint):
        load_state(save(tmp_path / "w.pth", value), FAMILIES["gan"])


def test_what_does_not_fit_is_named_with_the_file(tmp_path):
    config, state = FAMILIES["gan-unconditional"], Theirs().state_dict()
    for changed, complaint in [
        ({n: v for n, v in state.items() if n != "fc.bias"}, r"1 missing \('generator.linear.bias'\)$"),
        (state | {"fc.more": torch.zeros(1)}, r"1 unexpected \('generator.linear.more'\)$"),
        (state | {"fc.bias": torch.zeros(3)}, r"'generator.linear.bias' is \(3,\), expected \(32,\)"),
    ]:
        path = save(tmp_path / "w.pth", changed)
        with pytest.raises(JaxgenError, match=complaint) as caught:
            load_state(path, config, GENERATOR)
        assert str(caught.value).startswith(f"{path}: weights do not fit this config")


@pytest.mark.parametrize("prefix", ["net", "module.net.g"])
def test_names_that_differ_are_shown_with_the_map_that_would_do(tmp_path, prefix):
    config = FAMILIES["gan-unconditional"]
    state = renamed(Theirs().state_dict(), {name: ours.removeprefix("generator.") for name, ours in GENERATOR.items()})
    path = save(tmp_path / "w.pth", {f"{prefix}.{name}": value for name, value in state.items()})
    with pytest.raises(JaxgenError) as caught:
        load_state(path, config)
    *_, theirs = str(caught.value).partition("try --map ")[2].partition("; ")[0].split()
    assert theirs == f"{prefix}=generator"
    assert f"6 unexpected ('{prefix}.layers.0.bias', " in str(caught.value) and "..." in str(caught.value)
    load_state(path, config, dict([theirs.split("=")]))


def test_names_that_no_beginning_mends_get_no_such_advice(tmp_path):
    path = save(tmp_path / "w.pth", Theirs().state_dict())
    with pytest.raises(JaxgenError, match=r"missing .* unexpected") as caught:
        load_state(path, FAMILIES["gan-unconditional"])
    assert "--map" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named_with_their_file(tmp_path, value):
    state = Theirs().state_dict()
    state["up1.bias"][2] = value
    path = save(tmp_path / "w.pth", state)
    with pytest.raises(JaxgenError, match=r"w\.pth: 'up1\.bias' holds NaN or infinity"):
        load_state(path, FAMILIES["gan-unconditional"], GENERATOR)


def test_state_in_a_checkpoint_is_found(tmp_path):
    config, state = FAMILIES["gan-unconditional"], Theirs().state_dict()
    optimizer = {"state": {0: {"step": torch.zeros(1)}}, "param_groups": []}
    whole = {"epoch": 3, "state_dict": state, "optimizer": optimizer}
    loaded = [load_state(save(tmp_path / "w.pth", each), config, GENERATOR)[1] for each in (state, whole)]
    assert loaded[0].keys() == loaded[1].keys()
    assert all(np.array_equal(loaded[0][name], loaded[1][name]) for name in loaded[0])


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torchscript_and_half_a_file_get_short_messages_of_their_own(tmp_path):
    torch.jit.script(Theirs()).save(tmp_path / "w.ts")
    whole = save(tmp_path / "w.pth", Theirs().state_dict()).read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: len(whole) // 2])
    for name, words in [("w.ts", "is a TorchScript file"), ("w.pth", "is damaged or cut short; get it again")]:
        with pytest.raises(JaxgenError, match=words) as caught:
            load_state(tmp_path / name, FAMILIES["gan"])
        assert len(str(caught.value)) - len(str(tmp_path)) < 140


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(JaxgenError, match="no such file"):
        load_state(tmp_path / "none.pth", FAMILIES["gan"])
