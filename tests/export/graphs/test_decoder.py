"""Models that draw in one evaluation, as any ONNX runtime or PyTorch sees their files."""

import json

import numpy as np
import onnx
import pytest
import torch
from runtimes import BACKENDS, assert_same, by_jax, requests, session

from jaxgen.inference.tensors import decode_images
from jaxgen_export import torch_models, torchscript, weight_mapping
from jaxgen_export.export import export_model

DRAW_AT_ONCE = ["vae", "vae-convolutional", "gan", "gan-unconditional"]


@pytest.fixture(params=DRAW_AT_ONCE)
def drawer(family, request):
    return family(request.param)


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
def test_images_are_those_of_jax_in_every_runtime(drawer, count):
    feeds = requests(drawer, count)
    want = by_jax(drawer, feeds)
    assert ((want > 0) & (want < 255)).mean() > 0.5
    assert count == 1 or want.std(axis=0).max() > 2
    inputs = {name: torch.from_numpy(value) for name, value in feeds.items()}
    twin = torch_models.build(drawer.config)
    weight_mapping.load_into(twin, drawer.params)
    eager = torchscript.sampler(twin.cores[0].part(twin), drawer.config)
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


def test_image_is_the_same_in_every_batch(drawer):
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
    assert len({image.tobytes() for image in named}) == 3
    assert np.array_equal(none, named[0]) == (name == "gan")  # which knows no image without a class


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


@pytest.mark.parametrize("name", DRAW_AT_ONCE)
def test_certificate_compares_drawn_images_too(family, name):
    model = family(name)
    assert (model.manifest["inference"]["kind"], model.manifest["plans"]) == ("sampler", {})
    held = model.manifest["certificate"]
    rows = [(row["backend"], row["start"], row["batch"]) for row in held["trajectories"]]
    assert sorted(rows) == sorted((b, s, n) for b in BACKENDS for s in ("constant", "noise") for n in (1, 2, 7))
    assert all(row["plan"] is None and row["guidance"] is None for row in held["trajectories"])
    assert held["probe"]["label"] == ([0, 1, 2, 0, 1, 2, 0, 1] if model.classes else [-1] * 8)
    feeds = {"seed": np.zeros(8, np.int64), "index": np.arange(8), "label": np.array(held["probe"]["label"])}
    np.testing.assert_array_equal(decode_images(held["probe"]["images"]), by_jax(model, feeds))


def test_uncertified_file_draws_the_same(family, tmp_path):
    model = family("gan")
    manifest = export_model(
        model.config, model.params, tmp_path / "m.onnx", classes=model.classes, training={"untrained": True},
        certify=False,
    )  # fmt: skip
    assert "certificate" not in manifest and manifest["training"] == {"untrained": True}
    feeds = requests(model)
    np.testing.assert_array_equal(session(tmp_path / "m.onnx").run(None, feeds), session(model.onnx).run(None, feeds))
