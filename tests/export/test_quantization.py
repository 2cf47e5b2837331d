"""Quantised files: what is in them, that fp16 is exactly rounded weights, and what int8 still promises."""

import json

import numpy as np
import onnx
import onnx.reference
import pytest
import torch
from onnx import helper, numpy_helper
from schemas import VALIDATOR
from tiny import CLASSES, FAMILIES, UNCONDITIONAL, random_weights

from jaxgen.cli.summary import summary
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model import Model
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.verify import compare_images, psnr, verify
from jaxgen.models import network as networks
from jaxgen_export import bundle, manifest, quantization, torch_models, weight_mapping
from jaxgen_export.export import OutputPaths, export_model
from jaxgen_export.graphs.compose import graphs_of
from jaxgen_export.graphs.half import halved
from jaxgen_export.quantization import Quantize
from jaxgen_export.stamping import stamped

# --- weights of 16 bits


def network_of(weight: np.ndarray, other: np.ndarray) -> onnx.ModelProto:
    """y = x @ weight + other"""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    ports = [helper.make_tensor_value_info(name, 1, ["N", 3]) for name in "xy"]
    held = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(other, "b")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_weights_are_halved_and_what_else_there_is_stays():
    rng = np.random.default_rng(0)
    weight, other, x = (rng.standard_normal(shape, np.float32) for shape in ((3, 3), (3,), (5, 3)))
    core = network_of(weight.T.copy(), other)
    before = core.SerializeToString()
    made = halved(core, [weight])
    assert core.SerializeToString() == before
    kinds = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert sorted(kinds.values()) == [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16] and kinds["b"] == 1
    onnx.checker.check_model(made)
    (found,) = onnx.reference.ReferenceEvaluator(made).run(None, {"x": x})
    np.testing.assert_allclose(found, x @ weight.T.astype(np.float16).astype(np.float32) + other, rtol=1e-6)


@pytest.mark.parametrize("value", [70_000.0, -70_000.0, np.inf, np.nan])
def test_weight_beyond_float16_is_refused_by_its_name(value):
    with pytest.raises(JaxgenError, match=r"fp16: out\.kernel has a weight of .*, and fp16 ends at 65504$"):
        quantization.rounded({"in.kernel": np.ones(3, np.float32), "out.kernel": np.array([1, value], np.float32)})


# --- a diffusion model, traced once


@pytest.fixture(scope="module")
def unet():
    """The bundle of a tiny UNet, its weights, and the entries of its manifest."""
    params = random_weights(UNCONDITIONAL)
    made = traced(params)
    return made, params, manifest.of_kind(made, ())


def traced(params):
    torch_model = torch_models.build(UNCONDITIONAL)
    weight_mapping.load_into(torch_model, params)
    return bundle.build(torch_model, torch_model.cores[0], UNCONDITIONAL)


def quantised(unet, how: Quantize):
    made, params, entries = unet
    said = []
    new, weights, entries = quantization.quantized(made, params, entries, how, said.append)
    return new, weights, entries, said


def opened(made, entries) -> Model:
    return Model(model_file.parse(stamped(made.model, entries), "tiny.onnx"))


def images(model: Model, count: int = 6, batch: int = 6) -> np.ndarray:
    return np.concatenate(list(model.stream(count, batch_size=batch)))


def in_the_loop(made) -> dict[str, np.ndarray]:
    """The weights in the body of the loop."""
    _, *inner = graphs_of(made.model.graph)
    return {tensor.name: numpy_helper.to_array(tensor) for graph in inner for tensor in graph.initializer}


def test_fp16_file_samples_as_the_float32_file_of_rounded_weights(unet):
    made, params, entries = unet
    new, weights, described, said = quantised(unet, Quantize(scheme="fp16"))
    rounded = {name: value.astype(np.float16).astype(np.float32) for name, value in params.items()}
    want = opened(traced(rounded), entries)
    found = opened(new, described)
    given = {"seed": np.zeros(5, np.int64), "index": np.arange(5)}
    (one, one_state), (other, other_state) = found.sample(**given), want.sample(**given)
    # Not bit for bit: onnxruntime lays out constants and what a Cast gives differently, and may sum in another order.
    np.testing.assert_allclose(one_state, other_state, atol=1e-6)
    assert np.abs(one.astype(int) - other).max() <= 1 and (one == other).mean() > 0.98
    held = in_the_loop(new)
    halves = sum(value.size for value in held.values() if value.dtype == np.float16)
    assert halves == sum(
        value.size for value in params.values() if value.size > 1
    )  # a Cast of one number saves nothing
    assert all(np.array_equal(weights[name], params[name].astype(np.float16)) for name in params)
    assert any(not np.array_equal(weights[name], params[name]) for name in params)
    original = images(opened(made, entries), 32, 32)
    entry = described["quantization"]
    assert entry == {
        "scheme": "fp16", "psnr": pytest.approx(psnr(images(found, 32, 32), original), abs=0.01),
        **compare_images(images(found, 32, 32), original), "images": 32,
    }  # fmt: skip
    assert said[-1].startswith("against float32: PSNR ") and entry["psnr"] > 40


def test_int8_computes_its_inner_convolutions_in_integers(unet):
    made = unet[0]
    new, weights, entries, _ = quantised(unet, Quantize(scheme="int8", min_psnr=0))
    assert weights is unet[1] and entries["quantization"]["scheme"] == "int8"
    held = in_the_loop(new)
    integers = [value for value in held.values() if value.dtype == np.int8 and value.ndim == 4]
    convolutions = [node for node in made.graph.graph.node if node.op_type == "Conv"]
    assert len(integers) == len(convolutions) - 2 > 0
    assert all(np.abs(value.astype(int)).max() <= 64 for value in integers)  # 7 bits
    assert {node.domain for graph in graphs_of(new.model.graph) for node in graph.node} == {""}
    scales = [value for name, value in held.items() if name.endswith("_scale") and value.ndim == 1]
    assert {value.size for value in scales} >= {value.shape[0] for value in integers}  # one a channel


def test_int8_file_is_certified_by_its_own_images(unet):
    made = unet[0]
    new, _, entries, _ = quantised(unet, Quantize(scheme="int8", min_psnr=0))
    draft = opened(new, entries).artifact
    certificate = quantization.certificate(new, made.model, draft, lambda line: None)
    assert (certificate["reference"], certificate["limits"]) == ("onnxruntime", {"psnr": 35.0})
    model = opened(new, entries | {"certificate": certificate})
    VALIDATOR.validate(model.artifact.manifest)
    result = verify(model)
    assert result["same"] and result["line"].endswith(", PSNR 99.0 dB")
    rows = summary(model.artifact)
    assert rows["quantised"].startswith("'int8': PSNR ") and "onnxruntime's" in rows["certificate"]


@pytest.mark.parametrize("scheme", ["fp16", "int8"])
def test_file_too_far_from_float32_is_refused_in_a_line(unet, scheme):
    with pytest.raises(
        JaxgenError, match=rf"^--quantize {scheme}: its images are .* dB .*; to accept that: --min-psnr "
    ) as err:
        quantised(unet, Quantize(scheme=scheme, min_psnr=98.9))
    accepted = float(str(err.value).rpartition(" ")[2])
    assert quantised(unet, Quantize(scheme=scheme, min_psnr=accepted))[2]["quantization"]["psnr"] >= accepted
    assert "\n" not in str(err.value)


def test_network_without_integers_to_gain_is_refused():
    core = network_of(np.ones((3, 3), np.float32), np.ones(3, np.float32))
    del core.graph.node[0]
    core.graph.node[0].input[0] = "x"
    inference = Inference(kind="sampler", image_shape=(1, 3, 1), noise_shape=(3,))
    with pytest.raises(UsageError, match="neither convolutions nor linear layers; try fp16"):
        quantization.quantized(
            bundle.Bundle(UNCONDITIONAL, None, None, core, core), {}, {"inference": inference.to_dict()},
            Quantize(scheme="int8"), lambda line: None,
        )  # fmt: skip


# --- whole files, with their certificates


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """A conditional VAE exported with fp16 weights, and its encoder beside it."""
    config, folder = FAMILIES["vae"], tmp_path_factory.mktemp("halves")
    params, beside = random_weights(config), OutputPaths(encoder=folder / "vae.encoder.onnx")
    export_model(
        config, params, folder / "vae.onnx", classes=CLASSES, beside=beside, quantize=Quantize(scheme="fp16")
    )  # fmt: skip
    return params, model_file.read(folder / "vae.onnx"), model_file.read(beside.encoder)


def test_fp16_file_is_certified_against_jax_with_rounded_weights(halves):
    params, file, encoder = halves
    rounded = {name: value.astype(np.float16).astype(np.float32) for name, value in params.items()}
    for one in (file, encoder):
        VALIDATOR.validate(one.manifest)
        assert one.manifest["weights"]["sha256"] == networks.weights_hash(rounded)
        assert one.manifest["quantization"]["scheme"] == "fp16" and "reference" not in one.manifest["certificate"]
        assert max(row["relative"] for row in one.manifest["certificate"]["evaluation"]) < 1e-4
    assert verify(Model(file))["same"] and verify(Predictor(encoder))["same"]
    assert summary(file)["quantised"].startswith("'fp16': PSNR ") and summary(encoder)["quantised"] == "'fp16'"


def test_rounding_shows_in_a_certificate(halves):
    """It moves an evaluation farther than a certificate allows, so one against the weights before would not hold."""
    params = halves[0]
    z = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    label = np.arange(64) % 3
    torch_model = torch_models.build(FAMILIES["vae"])
    core = torch_model.cores[0]
    outputs = []
    for weights in (params, quantization.rounded(params)):
        weight_mapping.load_into(torch_model, weights)
        outputs.append(core.part(torch_model)(torch.from_numpy(z), torch.from_numpy(label)).numpy())
    assert np.abs(outputs[0] - outputs[1]).max() / np.abs(outputs[0]).max() > 1e-4


def test_quantised_file_holds_json_that_every_reader_takes(halves):
    file = halves[1]
    assert json.loads(json.dumps(file.manifest["quantization"], allow_nan=False)) == file.manifest["quantization"]
    assert file.manifest["requires"] == []
