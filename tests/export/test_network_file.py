"""The network alone as a file: its contract, what tools make of it, and that it computes what was trained."""

import functools

import jax
import networks
import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantFormat, quantize_dynamic, quantize_static
from schemas import VALIDATOR
from tiny import CLASSES, CONDITIONAL, FAMILIES, UNCONDITIONAL, random_weights

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file
from jaxgen.inference.network import Network
from jaxgen.inference.opening import opened
from jaxgen.inference.tensors import decode
from jaxgen.inference.verify import verify
from jaxgen.models import network as flax
from jaxgen_export import certificate
from jaxgen_export.export import OutputPaths, export_model

FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


@pytest.fixture(scope="module", params=["unconditional", "conditional", "flow", "vae", "vae-convolutional", "gan"])
def model(request, any_model):
    return any_model(request.param)


@pytest.fixture(params=["conditional", "gan"])
def of_three(request, tmp_path):
    """The network of one batch alone, 3, as a file, and its config."""
    config = CONDITIONAL if request.param == "conditional" else FAMILIES["gan"]
    places = OutputPaths(network=tmp_path / "n.onnx", network_batch=3)
    export_model(config, random_weights(config), tmp_path / "m.onnx", classes=CLASSES, beside=places, certify=False)
    return tmp_path / "n.onnx", config


def ports(values):
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


ROWS = 8  # of each batch in JAX, which compiles a program for each size


@functools.cache
def compiled(config):
    return jax.jit(flax.build(config).apply)


def in_jax(model, *inputs):
    """The Flax network on the same inputs, with labels or without."""
    count = len(inputs[0])
    *floats, label = inputs if model.config.class_count else (*inputs, np.full(count, -1))
    filled = [np.resize(value, (ROWS, *value.shape[1:])) for value in (*floats, label.astype(np.int32))]
    return np.asarray(compiled(model.config)(model.params, *filled))[:count]


def assert_contract(graph, config, n):
    image = [n, *config.data.shape]
    noise = {"x": (FLOAT, image), "t": (FLOAT, [n])} if config.process else {"z": (FLOAT, [n, *config.noise_shape])}
    assert ports(graph.input) == noise | ({"label": (INT64, [n])} if config.class_count else {})
    assert ports(graph.output) == {"out" if config.process else "image": (FLOAT, image)}


# --- the graph


def test_inputs_and_outputs_are_those_of_the_contract(model):
    assert_contract(networks.network(model).graph, model.config, "N")


def test_graph_is_plain_float_operators_of_onnx(model):
    proto = networks.network(model)
    onnx.checker.check_model(proto, full_check=True)
    assert {node.domain for node in proto.graph.node} == {""} and not proto.functions
    used = {node.op_type for node in proto.graph.node}
    assert not used & {"Loop", "If", "Scan", "BitShift", "BitwiseXor", "BitwiseAnd", "RandomNormalLike", "Range"}
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph
    assert {value.type.tensor_type.elem_type for value in inferred.value_info} <= {FLOAT, INT64, BOOL}


def test_graph_holds_no_note_and_no_shape_between(model):
    proto = networks.network(model)
    assert not proto.graph.value_info and not proto.graph.metadata_props and not proto.doc_string
    assert not any(node.metadata_props or node.doc_string for node in proto.graph.node)
    assert all(node.name for node in proto.graph.node)
    assert (proto.producer_name, [entry.key for entry in proto.metadata_props]) == ("jaxgen", ["jaxgen"])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_one_evaluation_is_that_of_jax(model, count):
    feeds = networks.inputs(model.config, count)
    want, found = in_jax(model, *feeds.values()), networks.run(model.network.read_bytes(), feeds)
    assert found.shape == want.shape and np.abs(want).max() > 0.1
    assert np.abs(found - want).max() <= 1e-4 * np.abs(want).max()


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_image_of_one_evaluation_lies_within_minus_one_and_one(family, name):
    image = networks.run(family(name).network.read_bytes(), networks.inputs(family(name).config, 64))
    assert -1 <= image.min() < -0.5 and 0.5 < image.max() <= 1


def test_network_of_one_batch_has_no_free_size_and_computes_the_same(of_three, any_model):
    path, config = of_three
    proto = onnx.load_from_string(path.read_bytes())
    assert_contract(proto.graph, config, 3)
    assert "Shape" not in {node.op_type for node in proto.graph.node}
    between = onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph.value_info
    assert between and all(size.HasField("dim_value") for value in between for size in value.type.tensor_type.shape.dim)
    assert model_file.read(path).inference.batch == 3
    VALIDATOR.validate(model_file.read(path).manifest)
    model = any_model("gan" if config.process is None else "conditional")
    network, free = Network.open(path), Network.open(model.network)
    for count in (1, 3, 7):
        given = networks.inputs(config, count).values()
        np.testing.assert_allclose(network(*given), free(*given), rtol=0, atol=1e-5)


# --- tools


def test_onnxruntime_quantises_it(model, tmp_path):
    static, dynamic = tmp_path / "static.onnx", tmp_path / "dynamic.onnx"
    quantize_static(model.network, static, networks.Calibration(model.config), quant_format=QuantFormat.QDQ)
    quantize_dynamic(model.network, dynamic)
    feeds = networks.inputs(model.config, 8)
    want = networks.run(model.network.read_bytes(), feeds)
    for changed, sign in ((static, "QuantizeLinear"), (dynamic, "DynamicQuantizeLinear")):
        assert sign in {node.op_type for node in onnx.load(changed).graph.node}
        found = networks.run(changed.read_bytes(), feeds)
        assert 1e-4 < np.abs(found - want).max() / np.abs(want).max() < 0.5


# --- the file


def test_file_says_what_running_it_from_outside_needs(model):
    whole, alone = model_file.read(model.onnx), model_file.read(model.network)
    VALIDATOR.validate(alone.manifest)
    assert alone.inference.kind == "network" and alone.inference.batch is None
    for what in ("image_shape", "classes", "null_class", "noise_shape", "process", "plan", "guidance"):
        assert getattr(alone.inference, what) == getattr(whole.inference, what)
    for what in ("plans", "config", "training", "weights"):
        assert alone.manifest[what] == whole.manifest[what]
    assert alone.sha256 != whole.sha256


def test_certificate_is_of_one_evaluation(model):
    held = model_file.read(model.network).manifest["certificate"]
    assert {row["backend"] for row in held["evaluation"]} == {"pytorch", "onnxruntime"}
    assert {(row["input"], row["batch"]) for row in held["evaluation"]} == {
        (kind, batch) for kind in ("random", "constant") for batch in (1, 2, 7)
    }
    assert all(0 <= row["relative"] <= 1e-4 for row in held["evaluation"])
    assert any(row["relative"] > 0 for row in held["evaluation"])
    assert held["trajectories"] == []
    assert verify(opened(model_file.read(model.network)))["same"]


def test_probe_holds_what_jax_says_to_it(model):
    probe = model_file.read(model.network).manifest["certificate"]["probe"]
    given = [decode(value, name) for name, value in probe["inputs"].items()]
    ((name, value),) = probe["outputs"].items()
    assert list(probe["inputs"]) == [entry.name for entry in networks.network(model).graph.input]
    assert name == ("out" if model.config.process else "image")
    want = in_jax(model, *given)
    np.testing.assert_allclose(decode(value, name), want, rtol=0, atol=1e-5 * np.abs(want).max())


def test_backend_that_is_wrong_is_not_certified():
    with pytest.raises(JaxgenError, match="onnxruntime differs from JAX"):
        certificate.measure_network(
            lambda x, t, label: [x + 1], {"onnxruntime": lambda x, t, label: [x + 1.001]}, UNCONDITIONAL, "xt", "out"
        )


def test_classifier_has_no_network_apart(tmp_path):
    config = FAMILIES["classifier"]
    with pytest.raises(UsageError, match="has no network apart from its file"):
        places = OutputPaths(network=tmp_path / "n.onnx")
        export_model(config, random_weights(config), tmp_path / "m.onnx", classes=CLASSES, beside=places)
    assert not list(tmp_path.iterdir())
