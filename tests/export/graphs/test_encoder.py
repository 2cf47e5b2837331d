"""Files that read images, encoders and classifiers, as any ONNX runtime or PyTorch sees them."""

import jax
import numpy as np
import pytest
import torch
from golden import calls
from runtimes import BACKENDS, random_pixels, session

from jaxgen.images import to_unit
from jaxgen.inference import model_file
from jaxgen.inference.opening import opened
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.tensors import decode_images
from jaxgen.inference.verify import verify
from jaxgen.models import network

READ = {"vae": "encoder", "vae-convolutional": "encoder", "vae-label": "encoder", "classifier": "classifier"}


@pytest.fixture(params=READ)
def reader(family, request):
    """A model and the kind of its file that reads."""
    return family(request.param), READ[request.param]


@pytest.fixture
def read_file(reader):
    model, kind = reader
    return model.encoder if kind == "encoder" else model.onnx


def label_of(model, count):
    """{"label": int64 [count]} for an encoder that takes the class."""
    return {"label": np.arange(count) % 3} if model.config.encoder_label else {}


def test_reader_says_what_jax_says_in_every_runtime(reader, read_file):
    model, kind = reader
    method = {"encoder": "encode", "classifier": "read"}[kind]
    apply, loaded = network.build(model.config).apply, session(read_file)
    for count in (1, 2, 7):
        images, label = random_pixels(model, count), label_of(model, count)
        said = jax.jit(lambda *given: apply(model.params, *given, method=method))(
            images / np.float32(127.5) - 1, *label.values()
        )
        found = loaded.run(None, {"images": images, **label})
        for a, b in zip(found, jax.tree.leaves(said), strict=True):
            assert a.dtype == np.float32 and (count < 7 or np.asarray(b).std(axis=1).max() > 1e-3)  # not all units off
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, np.abs(b).max()))
        if kind == "classifier":
            scripted = torch.jit.load(model.torchscript)(torch.from_numpy(images))
            for a, b in zip(scripted, said, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-5)


def test_readers_inputs_and_outputs_are_those_of_the_contract(reader, read_file):
    model, kind = reader
    loaded = session(read_file)
    inputs = [(value.name, value.type, value.shape) for value in loaded.get_inputs()]
    label = [("label", "tensor(int64)", ["N"])] if model.config.encoder_label else []
    assert inputs == [("images", "tensor(uint8)", ["N", *model.config.data.shape]), *label]
    assert not loaded.get_overridable_initializers()
    names = {"encoder": ["mean", "log_variance"], "classifier": ["logits", "features"]}[kind]
    widths = [model.config.model.latent] * 2 if kind == "encoder" else [3, model.config.model.features]
    given = [(value.name, value.type, value.shape) for value in loaded.get_outputs()]
    assert given == [(name, "tensor(float)", ["N", width]) for name, width in zip(names, widths, strict=True)]


def test_readers_manifest_is_that_of_the_same_weights(reader, read_file):
    model, kind = reader
    manifest = model_file.read(read_file).manifest
    assert manifest["inference"]["kind"] == kind
    assert "plans" not in manifest
    assert manifest["weights"] == model.manifest["weights"]
    assert manifest["weights"]["sha256"] == network.weights_hash(model.params)
    held = manifest["certificate"]
    assert held["trajectories"] == []
    rows = [(row["backend"], row["input"], row["batch"]) for row in held["evaluation"]]
    assert sorted(rows) == sorted((b, i, n) for b in BACKENDS for i in ("constant", "random") for n in (1, 2, 7))
    assert all(row["relative"] <= 1e-4 for row in held["evaluation"])


def test_readers_probe_is_what_jax_says(reader, read_file):
    model, kind = reader
    probe = model_file.read(read_file).manifest["certificate"]["probe"]
    images = decode_images(probe["images"])
    assert len(np.unique(images)) > 100
    method = {"encoder": "encode", "classifier": "read"}[kind]
    label = label_of(model, len(images))
    assert ("label" in probe) == bool(label) and probe.get("label") == (label["label"].tolist() if label else None)
    said = network.build(model.config).apply(model.params, to_unit(images), *label.values(), method=method)
    for name, want in zip(probe["outputs"], jax.tree.leaves(said), strict=True):
        np.testing.assert_allclose(np.array(probe["outputs"][name]), want, atol=1e-5)
    assert verify(opened(model_file.read(read_file)))["same"]


def test_label_changes_what_an_encoder_that_takes_it_says(family):
    model = family("vae-label")
    images = random_pixels(model, 3)
    one, other = (session(model.encoder).run(None, {"images": images, "label": np.array(c)})[0]
                  for c in ([0, 1, 2], [2, 1, 0]))  # fmt: skip
    assert (np.abs(one - other).max(1) > 1e-3).tolist() == [True, False, True]


@pytest.mark.parametrize("folder", calls.FOLDERS, ids=lambda folder: folder.name)
def test_encoders_of_before_take_no_label(folder):
    loaded = Predictor.open(folder / "vae.encoder.onnx")
    assert loaded.classes and not loaded.takes_label and list(loaded.session.inputs) == ["images"]
    for name, numbers in calls.read(loaded).items():
        np.testing.assert_allclose(numbers, calls.answers(folder, "vae.encoder")[name], rtol=1e-4, atol=1e-5)
