"""A changed network in its sampler again: the images that come of it, what the file says of itself, and refusals."""

import base64
import json

import networks
import numpy as np
import onnx
import pytest
from golden import calls
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from runtimes import session
from schemas import VALIDATOR

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file, tensors
from jaxgen.inference.model import Model
from jaxgen.inference.network import sample_with
from jaxgen.inference.opening import opened
from jaxgen.inference.required_inputs import with_required_inputs
from jaxgen.inference.verify import same_images, verify
from jaxgen_export.compose import compose_model

OLD = calls.HERE / "format1"  # files of the same weights as the tiny models of these names
INDEX = np.arange(6)


@pytest.fixture
def composed(tmp_path):
    """composed(network, like): a new file; the network a path or a model."""

    def make(network, like, **how):
        path = tmp_path / "composed.onnx"
        path.write_bytes(compose_model(written(network, tmp_path), like, **how))
        return path

    return make


def written(network, folder):
    if not isinstance(network, onnx.ModelProto):
        return network
    path = folder / "changed.onnx"
    path.write_bytes(network.SerializeToString())
    return path


@pytest.fixture(scope="module", params=["unconditional", "conditional", "flow", "vae", "vae-convolutional", "gan"])
def model(request, any_model):
    return any_model(request.param)


def sampled(path, **inputs):
    return Model.open(path).sample(np.full(6, 5), INDEX, **inputs)


def ending(network, op, *constants):
    """The network with one more operator behind it: output = op(what it gave, *constants)."""
    (output,) = network.graph.output
    for node in network.graph.node:
        node.output[:] = ["before" if name == output.name else name for name in node.output]
    for i, value in enumerate(constants):
        network.graph.initializer.append(numpy_helper.from_array(value, f"constant{i}"))
    names = [f"constant{i}" for i in range(len(constants))]
    network.graph.node.append(helper.make_node(op, ["before", *names], [output.name], name="added"))
    return network


# --- an unchanged network


@pytest.fixture(scope="module")
def unchanged(model, tmp_path_factory):
    """A file with its own network, and what was said when it was made."""
    path, told = tmp_path_factory.mktemp("unchanged") / "composed.onnx", []
    path.write_bytes(compose_model(model.network, model.onnx, say=told.append))
    return path, told


def test_unchanged_network_gives_the_images_of_its_file_byte_for_byte(model, unchanged):
    path, _ = unchanged
    (want, *before), (found, *after) = sampled(model.onnx), sampled(path)
    assert want.tobytes() == found.tobytes() and len(np.unique(want)) > 50
    if model.config.process:
        assert before[0].tobytes() == after[0].tobytes()
        plan = Model.open(path).plan(sampler="euler" if "flow" in model.config.family else "ancestral", steps=5)
        np.testing.assert_array_equal(sampled(path, plan=plan)[0], sampled(model.onnx, plan=plan)[0])
    inputs = [[value.name for value in onnx.load(file).graph.input] for file in (path, model.onnx)]
    assert inputs[0] == inputs[1]


@pytest.mark.parametrize("golden", ["ddpm", "flow", "vae", "gan"])
def test_file_of_format_1_becomes_one_of_today_with_its_images(golden, composed, family, request):
    network = (request.getfixturevalue("unconditional") if golden == "ddpm" else family(golden)).network
    path = composed(network, OLD / f"{golden}.onnx")
    found = calls.sampled(Model.open(path), golden, calls.seeds(OLD)[golden])
    for call, images in calls.answers(OLD, golden).items():
        np.testing.assert_array_equal(found[call], images, err_msg=call)
    manifest = model_file.read(path).manifest
    assert manifest["format"] == 2 and "kind" not in manifest
    VALIDATOR.validate(manifest)


def test_file_says_what_it_was_made_from_and_that_nothing_changed(model, unchanged):
    path, told = unchanged
    file, like = model_file.read(path), model_file.read(model.onnx)
    assert file.sha256 != like.sha256 and verify(opened(file))["same"]
    parent = file.manifest["parent"]
    assert parent["sha256"] == like.sha256 and parent["network"]["producer"] == "jaxgen"
    assert (parent["evaluation_relative"], parent["identical"], parent["off_by"]) == (0, 1, 0)
    assert parent["batch_dependent"] is False
    for what in ("inference", "plans", "config", "weights", "training"):
        assert file.manifest[what] == like.manifest[what]
    VALIDATOR.validate(file.manifest)
    (entry,) = onnx.load(path).metadata_props
    assert json.loads(entry.value)["parent"]["sha256"] == like.sha256  # JSON that others read
    assert "one evaluation within 0.0e+00 relative, 100.000% of pixels identical in 8 images" in told[-1]


def test_certificate_is_of_the_file_itself_in_onnxruntime(model, unchanged):
    path, _ = unchanged
    held = model_file.read(path).manifest["certificate"]
    probe = held["probe"]
    assert held["reference"] == "onnxruntime"
    feeds = {"seed": np.full(8, probe["seed"]), "index": np.array(probe["index"])}
    feeds |= {"label": np.array(probe["label"])} if model.classes else {}
    images = session(path).run(["images"], feeds)[0]
    np.testing.assert_array_equal(tensors.decode_images(probe["images"]), images)
    rows = {row["backend"]: row for row in held["trajectories"]}
    assert rows["onnx.reference"]["identical"] >= 0.995 and rows["onnxruntime"]["identical"] >= 0.995
    assert {row["backend"] for row in held["evaluation"]} == {"network alone", "onnx.reference"}
    assert all(row["relative"] <= 1e-5 for row in held["evaluation"])


# --- a changed one


@pytest.fixture(scope="module")
def weaker(model, tmp_path_factory):
    """A file whose network says three quarters of all that it said, and that network."""
    folder = tmp_path_factory.mktemp("weaker")
    network, path = ending(networks.network(model), "Mul", np.float32(0.75)), folder / "composed.onnx"
    path.write_bytes(compose_model(written(network, folder), model.onnx))
    return path, network


def test_distances_are_those_that_were_put_in(model, weaker):
    """The largest error is a quarter of the largest value."""
    file = model_file.read(weaker[0])
    parent = file.manifest["parent"]
    assert parent["evaluation_relative"] == pytest.approx(0.25, abs=1e-5)
    want, found = (
        Model(one).sample(
            np.zeros(8, int), np.arange(8), label=np.arange(8) % 3 if model.classes else None
        )[0].astype(int)
        for one in (model_file.read(model.onnx), file)
    )  # fmt: skip
    assert parent["identical"] == (want == found).mean() < 0.9
    assert parent["off_by"] == np.abs(want - found).max() > 2


def test_images_are_those_of_the_network_that_was_put_in(model, weaker):
    path, changed = weaker
    label = INDEX % 3 if model.classes else None
    run = networks.session(changed)
    names = [value.name for value in changed.graph.input]

    def network(*inputs):
        return run(dict(zip(names, inputs, strict=True)))

    want = sample_with(network, model_file.read(model.onnx).inference, np.full(6, 5), INDEX, label=label)
    assert same_images(sampled(path, label=label)[0], want)


def quantised(model, folder, **how):
    path = folder / "quantised.onnx"
    how = {"quant_format": QuantFormat.QDQ} | how
    quantize_static(model.network, path, networks.Calibration(model.config), **how)
    return path


@pytest.mark.parametrize("name", ["conditional", "vae", "gan"])
def test_statically_quantised_network_is_taken(name, family, request, composed, tmp_path):
    model = request.getfixturevalue(name) if name == "conditional" else family(name)
    told = []
    path = composed(quantised(model, tmp_path), model.onnx, say=told.append)
    file = model_file.read(path)
    assert verify(opened(file))["same"]
    parent = file.manifest["parent"]
    assert parent["network"]["producer"].startswith("onnx.quantize")
    assert parent["evaluation_relative"] > 1e-3 and parent["identical"] < 0.995
    alone = [row for row in file.manifest["certificate"]["evaluation"] if row["backend"] == "network alone"]
    assert all(row["relative"] <= 1e-4 for row in alone)
    graph = onnx.load(path).graph
    if model.config.process:  # quantised, and in the loop's body its weights are
        (loop,) = (node for node in graph.node if node.op_type == "Loop")
        graph = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    kinds = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 1}
    assert TensorProto.INT8 in kinds or TensorProto.UINT8 in kinds
    assert any(f"{parent['identical']:.3%} of pixels identical" in line for line in told)


def test_network_of_16_bits_keeps_the_newer_operators_that_it_needs(family, composed, tmp_path):
    model = family("gan")
    wide = quantised(model, tmp_path, activation_type=QuantType.QInt16, weight_type=QuantType.QInt8)
    path = composed(wide, model.onnx)
    assert [entry.version for entry in onnx.load(path).opset_import] == [21]
    assert verify(opened(model_file.read(path)))["same"]


def test_dynamically_quantised_network_is_taken_on_request(conditional, composed, tmp_path):
    quantize_dynamic(conditional.network, tmp_path / "dynamic.onnx")
    with pytest.raises(JaxgenError, match=r"depend on what else is in their batch: .*quantise statically, or give --"):
        composed(tmp_path / "dynamic.onnx", conditional.onnx)
    file = model_file.read(composed(tmp_path / "dynamic.onnx", conditional.onnx, batch_dependent=True))
    assert file.manifest["parent"]["batch_dependent"] is True
    rows = [row for row in file.manifest["certificate"]["trajectories"] if row["backend"] == "onnxruntime"]
    assert rows[0]["identical"] < 0.995 and verify(opened(file))["same"]


@pytest.mark.parametrize("version", [18, 21, 26])
def test_operators_of_another_version_are_converted(family, composed, version):
    model = family("vae-convolutional")
    changed = onnx.version_converter.convert_version(networks.network(model), version)
    path = composed(changed, model.onnx)
    assert [entry.version for entry in onnx.load(path).opset_import] == [20]
    np.testing.assert_array_equal(sampled(path)[0], sampled(model.onnx)[0])


def test_what_onnxruntime_writes_is_taken_at_its_basic_level_and_named_above(unconditional, composed, tmp_path):
    import onnxruntime as ort

    def optimised(level):
        options, path = ort.SessionOptions(), tmp_path / "optimised.onnx"
        options.graph_optimization_level, options.optimized_model_filepath = level, str(path)
        ort.InferenceSession(unconditional.network.read_bytes(), options, providers=["CPUExecutionProvider"])
        return path

    path = composed(optimised(ort.GraphOptimizationLevel.ORT_ENABLE_BASIC), unconditional.onnx)
    assert same_images(sampled(path)[0], sampled(unconditional.onnx)[0])
    with pytest.raises(JaxgenError, match=r"operators that are not ONNX's own: com\.microsoft.*ORT_ENABLE_BASIC"):
        composed(optimised(ort.GraphOptimizationLevel.ORT_ENABLE_ALL), unconditional.onnx)


def test_function_that_a_tool_defined_is_written_out(family, composed):
    model = family("gan")
    changed = ending(networks.network(model), "Twice")
    changed.graph.node[-1].domain = "own"
    changed.opset_import.append(helper.make_opsetid("own", 1))
    nodes = [helper.make_node("Add", ["a", "a"], ["b"])]
    changed.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], nodes, changed.opset_import[:1]))
    doubled = ending(networks.network(model), "Mul", np.float32(2))
    want = sampled(composed(doubled, model.onnx))[0]
    np.testing.assert_array_equal(sampled(composed(changed, model.onnx))[0], want)


def test_branches_inside_the_network_are_taken(unconditional, composed):
    changed = ending(networks.network(unconditional), "If")
    node = changed.graph.node[-1]
    value = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)
    bodies = [
        helper.make_graph([helper.make_node(op, ["before"], ["chosen"])], op, [], [value]) for op in ("Identity", "Neg")
    ]
    node.CopyFrom(helper.make_node("If", ["always"], ["out"], then_branch=bodies[0], else_branch=bodies[1]))
    changed.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    np.testing.assert_array_equal(sampled(composed(changed, unconditional.onnx))[0], sampled(unconditional.onnx)[0])


# --- what is refused


def refusal(network, like, folder):
    with pytest.raises(JaxgenError) as caught:
        compose_model(written(network, folder), like)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 450
    return message


def float16_inputs(network):
    network.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def one_batch(network):
    for value in [*network.graph.input, *network.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 4


def another_size(network):
    network.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 16


def int_labels(network):
    network.graph.input[2].type.tensor_type.elem_type = TensorProto.INT32


def no_time(network):
    del network.graph.input[1]


def one_more_input(network):
    network.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N"]))


def another_output(network):
    network.graph.output.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, ["N"]))


def renamed_output(network):
    network.graph.output[0].name = "y"


def external(network):
    tensor = network.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def foreign(network):
    network.graph.node[3].op_type, network.graph.node[3].domain = "QLinearAdd", "com.microsoft"


def unheard_of(network):
    network.graph.node[3].domain = "org.example"


def sparse(network):
    network.graph.sparse_initializer.add().values.CopyFrom(helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0]))


def two_versions(network):
    network.opset_import.append(helper.make_opsetid("ai.onnx", 19))


def broken_rule(network):
    network.graph.node[-1].op_type = "NoSuchOperator"


def no_nodes(network):
    del network.graph.node[:]


def nan(network):
    ending(network, "Mul", np.float32(np.nan))


WRONG = {
    float16_inputs: "input 'x' is float16 [N, 8, 8, 3], expected float32 [N, 8, 8, 3]; convert it with keep_io_types",
    one_batch: "its input 'x' is float32 [4, 8, 8, 3], expected float32 [N, 8, 8, 3]; its batch must be free",
    another_size: "its input 'x' is float32 [N, 16, 8, 3], expected float32 [N, 8, 8, 3]",
    int_labels: "its input 'label' is int32 [N], expected int64 [N]",
    no_time: "it has no input 't' (float32 [N])",
    one_more_input: "it has an input 'mask' that is not of the contract",
    another_output: "it has an output 'h' that is not of the contract",
    renamed_output: "it has no output 'out' (float32 [N, 8, 8, 3])",
    external: "it keeps tensor data in another file (external data); save it whole",
    foreign: "that are not ONNX's own: com.microsoft.QLinearAdd; quantise with quant_format=QuantFormat.QDQ",
    unheard_of: "uses operators that are not ONNX's own: org.example.",
    sparse: "keeps weights as sparse tensors",
    two_versions: "expected one version of ONNX's operators, got [20, 19]",
    broken_rule: "No Op registered for NoSuchOperator",
    no_nodes: "is no ONNX model, or an empty one",
    nan: "gives NaN",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_network_that_does_not_fit_is_one_line(conditional, tmp_path, change):
    network = networks.network(conditional)
    change(network)
    message = refusal(network, conditional.onnx, tmp_path)
    assert message.startswith(f"{tmp_path / 'changed.onnx'}") and WRONG[change] in message


def test_operators_too_old_to_convert_are_one_line(family, tmp_path):
    network = networks.network(family("gan"))
    network.opset_import[0].version = 1
    message = refusal(network, family("gan").onnx, tmp_path)
    assert "its operators are of version 1, and onnx cannot bring them to 20" in message


def test_network_of_another_model_is_refused(conditional, unconditional, family, tmp_path):
    assert "it has no input 'label'" in refusal(unconditional.network, conditional.onnx, tmp_path)
    assert "it has no input 'z'" in refusal(unconditional.network, family("gan").onnx, tmp_path)
    assert "it has no input 'x'" in refusal(family("gan").network, unconditional.onnx, tmp_path)

    def predicts_v(network):
        (entry,) = network.metadata_props
        entry.value = entry.value.replace('"prediction": "eps"', '"prediction": "v"')

    network = networks.network(unconditional)
    predicts_v(network)
    message = refusal(network, unconditional.onnx, tmp_path)
    assert message.endswith("the prediction of its process is 'v', expected 'eps'")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a"], ids=["empty", "text", "no graph"])
def test_what_is_no_model_is_one_line(conditional, tmp_path, content):
    path = tmp_path / "n.onnx"
    path.write_bytes(content)
    assert "is no ONNX model" in refusal(path, conditional.onnx, tmp_path)
    assert "is not an ONNX file or is damaged" in refusal(conditional.network, path, tmp_path)


def test_missing_file_is_one_line(conditional, tmp_path):
    assert "no such file" in refusal(tmp_path / "none", conditional.onnx, tmp_path)
    assert "no such file" in refusal(conditional.network, tmp_path / "none", tmp_path)


def test_like_must_be_a_sampler(family, tmp_path):
    network = family("vae").network
    for like, kind in ((family("vae").encoder, "encoder"), (network, "network")):
        with pytest.raises(UsageError, match=f"--like: .* is of kind '{kind}'; a network goes into a sampler"):
            compose_model(network, like)
    plain = onnx.load(network)
    del plain.metadata_props[:]
    assert "but not one of jaxgen's" in refusal(network, written(plain, tmp_path), tmp_path)


# --- a sampler whose inputs are required


@pytest.mark.parametrize("name", ["conditional", "flow", "gan"])
def test_network_goes_into_a_file_with_required_inputs_which_it_keeps(name, any_model, composed, tmp_path):
    model = any_model(name)
    like = tmp_path / "required.onnx"
    like.write_bytes(with_required_inputs(model_file.read(model.onnx)).data)
    path = composed(model.network, like)
    graph = onnx.load(path).graph
    assert not {value.name for value in graph.input} & {tensor.name for tensor in graph.initializer}  # no default
    np.testing.assert_array_equal(sampled(path)[0], sampled(model.onnx)[0])
    manifest = model_file.read(path).manifest
    assert manifest["parent"]["sha256"] == model_file.read(like).sha256
    assert manifest["certificate"]["onnxruntime"] == {"optimization": "ORT_ENABLE_ALL"}
    if model.config.process:
        VALIDATOR.validate(manifest)
        table = np.frombuffer(base64.b64decode(manifest["plans"]["default"]["table"]), "<f4").reshape(-1, 9)
        np.testing.assert_array_equal(table, Model.open(model.onnx).plan())


def test_network_of_another_width_is_no_matter_of_its_batch(family, composed):
    with pytest.raises(JaxgenError) as caught:
        composed(family("gan").network, family("vae").onnx)
    assert "expected float32 [N, 3]" in str(caught.value) and "batch" not in str(caught.value)
