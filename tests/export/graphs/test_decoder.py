"""Models that sample in one evaluation, as any ONNX runtime or PyTorch sees their files."""

import json

import numpy as np
import onnx
import pytest
import torch
from runtimes import BACKENDS, assert_same, by_jax, requests, session

from jaxgen.inference.tensors import decode_images
from jaxgen_export import torch_models, torchscript, weight_mapping
from jaxgen_export.export import export_model

GENERATORS = ["vae", "vae-convolutional", "gan", "gan-unconditional"]


@pytest.fixture(params=GENERATORS)
def generator(family, request):
    return family(request.param)


def test_inputs_and_outputs_are_those_of_the_contract(generator):
    loaded, words = session(generator.onnx), ("tensor(int64)", ["N"])
    required = {value.name: (value.type, value.shape) for value in loaded.get_inputs()}
    assert required == {"seed": words, "index": words, **({"label": words} if generator.classes else {})}
    (latent,) = loaded.get_overridable_initializers()
    assert (latent.name, latent.type, latent.shape[1:]) == ("latent", "tensor(float)", [*generator.config.noise_shape])
    (images,) = loaded.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["N", *generator.config.data.shape])
    order = [value.name for value in onnx.load(generator.onnx).graph.input]
    assert order == ["seed", "index", *(["label"] if generator.classes else []), "latent"]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_images_are_those_of_jax_in_every_runtime(generator, count):
    feeds = requests(generator, count)
    want = by_jax(generator, feeds)
    assert ((want > 0) & (want < 255)).mean() > 0.5
    assert count == 1 or want.std(axis=0).max() > 2
    inputs = {name: torch.from_numpy(value) for name, value in feeds.items()}
    twin = torch_models.build(generator.config)
    weight_mapping.load_into(twin, generator.params)
    eager = torchscript.sampler(twin.cores[0].part(twin), generator.config)
    assert_same(session(generator.onnx).run(None, feeds)[0], want)
    assert_same(eager(**inputs).numpy(), want)
    assert_same(torch.jit.load(generator.torchscript)(**inputs).numpy(), want)


def test_latent_that_is_given_is_decoded_in_place_of_the_noise(generator):
    feeds = requests(generator)
    z = 2 * np.random.default_rng(1).standard_normal((7, *generator.config.noise_shape)).astype(np.float32)
    want = by_jax(generator, feeds, z)
    assert (want != by_jax(generator, feeds)).mean() > 0.5
    assert_same(session(generator.onnx).run(None, feeds | {"latent": z})[0], want)
    inputs = {name: torch.from_numpy(value) for name, value in (feeds | {"latent": z}).items()}
    assert_same(torch.jit.load(generator.torchscript)(**inputs).numpy(), want)


def test_empty_latent_is_the_noise(generator):
    feeds, empty = requests(generator), np.zeros((0, *generator.config.noise_shape), np.float32)
    loaded, scripted = session(generator.onnx), torch.jit.load(generator.torchscript)
    np.testing.assert_array_equal(loaded.run(None, feeds | {"latent": empty})[0], loaded.run(None, feeds)[0])
    inputs = {name: torch.from_numpy(value) for name, value in feeds.items()}
    assert torch.equal(scripted(**inputs, latent=torch.from_numpy(empty)), scripted(**inputs))


def test_latents_of_another_width_are_refused(generator):
    latent = np.zeros((7, generator.config.noise_shape[0] + 1), np.float32)
    with pytest.raises(Exception, match=r"(?i)shape|dimension"):
        session(generator.onnx).run(None, requests(generator) | {"latent": latent})


def test_image_is_the_same_in_every_batch(generator):
    """Running statistics, and not those of the batch."""
    feeds, loaded = requests(generator), session(generator.onnx)
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


def test_torchscript_takes_the_contracts_inputs_and_knows_its_manifest(generator):
    extra = {"manifest.json": ""}
    loaded = torch.jit.load(generator.torchscript, _extra_files=extra)
    names = [argument.name for argument in loaded.forward.schema.arguments][1:]
    assert names == ["seed", "index", *(["label"] if generator.classes else []), "latent"]
    assert json.loads(extra["manifest.json"]) == generator.manifest
    held = {tuple(value.shape) for value in loaded.state_dict().values()}
    part = "generator." if any(name.startswith("generator.") for name in generator.params) else "decoder."
    assert sum(value.numel() for value in loaded.state_dict().values() if value.is_floating_point()) == sum(
        value.size for name, value in generator.params.items() if name.startswith(part)
    ), held  # nothing that sampling does not need


@pytest.mark.parametrize("name", GENERATORS)
def test_certificate_compares_sampled_images_too(family, name):
    model = family(name)
    assert (model.manifest["inference"]["kind"], model.manifest["plans"]) == ("sampler", {})
    held = model.manifest["certificate"]
    rows = [(row["backend"], row["start"], row["batch"]) for row in held["trajectories"]]
    assert sorted(rows) == sorted((b, s, n) for b in BACKENDS for s in ("constant", "noise") for n in (1, 2, 7))
    assert all(row["plan"] is None and row["guidance"] is None for row in held["trajectories"])
    assert held["probe"]["label"] == ([0, 1, 2, 0, 1, 2, 0, 1] if model.classes else [-1] * 8)
    feeds = {"seed": np.zeros(8, np.int64), "index": np.arange(8), "label": np.array(held["probe"]["label"])}
    np.testing.assert_array_equal(decode_images(held["probe"]["images"]), by_jax(model, feeds))


def test_uncertified_file_samples_the_same(family, tmp_path):
    model = family("gan")
    manifest = export_model(
        model.config, model.params, tmp_path / "m.onnx", classes=model.classes, training={"untrained": True},
        certify=False,
    )  # fmt: skip
    assert "certificate" not in manifest and manifest["training"] == {"untrained": True}
    feeds = requests(model)
    np.testing.assert_array_equal(session(tmp_path / "m.onnx").run(None, feeds), session(model.onnx).run(None, feeds))
