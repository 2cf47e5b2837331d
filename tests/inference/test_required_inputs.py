"""Files without defaults: the same graph, run by our readers and by onnxruntime alone, and honest about itself."""

import base64
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_files import MANIFEST, forged, model as onnx_model, restamp, tensor, value, wire
from runtimes import requests, session

from jaxgen.errors import JaxgenError
from jaxgen.inference import model_file
from jaxgen.inference.defaults import required
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact, dump_manifest, parse
from jaxgen.inference.opening import opened
from jaxgen.inference.protobuf import WireError
from jaxgen.inference.required_inputs import with_required_inputs
from jaxgen.inference.verify import verify

SAMPLERS = ["conditional", "unconditional", "flow", "vae", "gan-unconditional"]


@pytest.fixture(params=SAMPLERS)
def drawer(request, any_model):
    return any_model(request.param)


@pytest.fixture
def original(drawer) -> Artifact:
    return model_file.read(drawer.onnx)


@pytest.fixture
def made(original) -> Artifact:
    return with_required_inputs(original)


def without_initializers_of_inputs(data: bytes) -> onnx.ModelProto:
    """As onnx's own classes do it, the manifest left out."""
    proto = onnx.load_from_string(data)
    inputs = {one.name for one in proto.graph.input}
    kept = [one for one in proto.graph.initializer if one.name not in inputs]
    del proto.graph.initializer[:], proto.metadata_props[:]
    proto.graph.initializer.extend(kept)
    return proto


def test_graph_is_the_same_without_the_inputs_defaults(original, made):
    proto = onnx.load_from_string(made.data)
    onnx.checker.check_model(proto, full_check=True)
    assert {one.name for one in proto.graph.initializer}.isdisjoint(one.name for one in proto.graph.input)
    del proto.metadata_props[:]
    assert proto == without_initializers_of_inputs(original.data)


def test_manifest_is_the_files_own_and_names_it(original, made):
    assert made.manifest == original.manifest | {"sha256": made.sha256, "made_from": original.sha256}
    (entry,) = onnx.load_from_string(made.data).metadata_props
    assert json.loads(entry.value) == made.manifest
    assert restamp(made.data) == made.data  # the hash is that of these bytes


def test_file_without_defaults_is_returned_as_it_is(made, family):
    for one in (made, model_file.read(family("classifier").onnx), model_file.read(family("vae").encoder)):
        assert with_required_inputs(one) is one


def test_images_are_those_of_the_file_it_was_made_from(drawer, made):
    with_defaults, without, feeds = Model.open(drawer.onnx), Model(made), requests(drawer)
    seed, index, label = feeds["seed"], feeds["index"], np.arange(7) % 3 if drawer.classes else None
    rng, given = np.random.default_rng(0), [{}]
    if drawer.config.process is None:
        given += [{"latent": rng.standard_normal((7, *drawer.config.noise_shape))}]
    else:
        given += [{"plan": with_defaults.plan(steps=3)}, {"state": rng.standard_normal((2, 7, *with_defaults.shape))}]
        given += [{"guidance": 3.0}] if drawer.classes else []
    drawn = []
    for inputs in given:
        images, state = without.sample(seed, index, label=label, **inputs)
        want, want_state = with_defaults.sample(seed, index, label=label, **inputs)
        np.testing.assert_array_equal(images, want)
        assert state is None if want_state is None else np.array_equal(state, want_state)
        drawn.append(images.tobytes())
    assert len(set(drawn)) == len(given)  # each input counts
    assert verify(opened(made))["same"]


def test_other_clients_must_feed_every_input(drawer, made, tmp_path):
    (tmp_path / "m.onnx").write_bytes(made.data)
    loaded, feeds = session(tmp_path / "m.onnx"), requests(drawer)
    names = [one.name for one in loaded.get_inputs()]
    assert not loaded.get_overridable_initializers()
    if drawer.config.process is None:
        assert names == [*feeds, "latent"]
        rest = {"latent": np.zeros((0, *drawer.config.noise_shape), np.float32)}
    else:
        assert names == [*feeds, *(["guidance"] if drawer.classes else []), "plan", "state"]
        plan = np.array([[0, 0, 0, 1, 1, 0, 0, 0, 0]], np.float32)
        rest = {"plan": plan, "state": np.zeros((2, 0, *drawer.config.data.shape), np.float32)}
        rest |= {"guidance": np.array(1, np.float32)} if drawer.classes else {}
    with pytest.raises(Exception, match="missing"):
        loaded.run(None, feeds)
    for found, want in zip(loaded.run(None, feeds | rest), session(drawer.onnx).run(None, feeds | rest), strict=True):
        np.testing.assert_array_equal(found, want)


def test_foreign_initializers_and_second_graphs_are_found():
    inputs = [value("x"), value("w")]
    proto = onnx_model(initializers=[tensor("kept")])
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    data = forged(proto)
    assert b"w" in {one.name.encode() for one in onnx.load_from_string(data).graph.initializer}
    kept = onnx.load_from_string(required(data).data).graph.initializer
    assert [one.name for one in kept] == ["kept"]
    second = wire(7, wire(5, tensor("x").SerializeToString()))  # which protobuf adds to the first
    with pytest.raises(WireError, match="expected one graph, got 2"):
        required(data + second)


def test_graph_whose_inputs_cannot_be_read_is_one_line():
    broken = forged(onnx_model()) + wire(7, wire(11, b"\xff"))
    found = parse(restamp(broken), "some/model.onnx")
    with pytest.raises(JaxgenError, match=r"some/model\.onnx: its graph's inputs cannot be read") as caught:
        with_required_inputs(found)
    assert "\n" not in str(caught.value)


def test_manifest_of_another_key_is_left_alone():
    proto = onnx_model()
    proto.graph.input.append(value("w"))
    proto.metadata_props.add(key="theirs", value='{"format": 1}')
    made = with_required_inputs(parse(forged(proto, dump_manifest(MANIFEST)), "m"))
    entries = onnx.load_from_string(made.data).metadata_props
    assert (entries[0].key, entries[0].value) == ("theirs", '{"format": 1}')
    assert [one.key for one in entries] == ["theirs", "jaxgen"]


@pytest.mark.parametrize("folder", ["format1", "format2"])
@pytest.mark.parametrize("name", ["ddpm", "cddpm", "flow"])
def test_required_file_names_the_plan_that_its_graph_had(folder, name):
    source = Path(__file__).parents[1] / f"golden/{folder}/{name}.onnx"
    made = with_required_inputs(model_file.read(source, lambda line: None))
    (held,) = (tensor for tensor in onnx.load(source).graph.initializer if tensor.name == "plan")
    table = np.frombuffer(base64.b64decode(made.manifest["plans"]["default"]["table"]), "<f4").reshape(-1, 9)
    np.testing.assert_array_equal(table, onnx.numpy_helper.to_array(held))
