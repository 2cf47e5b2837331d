"""Files that another tool rewrote: those that still obey the contract get a new hash, the others one line."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from adopting import refusal
from golden import calls
from onnx import TensorProto, helper, numpy_helper
from schemas import VALIDATOR

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file, tensors
from jaxgen.inference.model import Model
from jaxgen.inference.opening import opened
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.verify import verify
from jaxgen_export.adopt import resign

GOLDEN = {
    f"{folder.name} {name}": folder / f"{name}.onnx"
    for folder in sorted(calls.HERE.glob("format*"))
    for name in (*calls.SAMPLERS, *calls.READERS)
}
OLD = calls.HERE / "format1"


def noted(path, source):
    """As onnx.save writes it with one more metadata entry."""
    model = onnx.load(source)
    model.metadata_props.add(key="tool", value="was here")
    onnx.save(model, path)


def with_shapes(path, source):
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(source)), path)


def of_version_21(path, source):
    onnx.save(onnx.version_converter.convert_version(onnx.load(source), 21), path)


def by_onnxruntime(path, source):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    ort.InferenceSession(source.read_bytes(), options, providers=["CPUExecutionProvider"])


TOOLS = [noted, with_shapes, of_version_21, by_onnxruntime]
REWRITTEN = [  # by each tool; of format 1, by one
    pytest.param(tool, source, id=f"{tool.__name__}-{name}", marks=[pytest.mark.slow] if repeats else [])
    for tool in TOOLS
    for name, source in GOLDEN.items()
    for repeats in [source.parent.name == "format1" and tool is not by_onnxruntime]
]


# --- what still obeys the contract


@pytest.mark.parametrize(("tool", "source"), REWRITTEN)
def test_rewritten_file_opens_again_and_gives_what_it_gave(tool, source, tmp_path):
    rewritten, path = tmp_path / "rewritten.onnx", tmp_path / "m.onnx"
    tool(rewritten, source)
    with pytest.raises(JaxgenError, match="adopt --resign"):
        model_file.read(rewritten)
    told = []
    path.write_bytes(resign(rewritten, told.append))
    file, was = model_file.read(path), model_file.read(source)
    assert verify(opened(file))["same"]
    answers, name = calls.answers(source.parent, source.stem), source.stem
    if name in calls.SAMPLERS:
        found = calls.sampled(Model(file), name, calls.seeds(source.parent)[name])
        for call, images in answers.items():
            np.testing.assert_array_equal(found[call], images, err_msg=call)
    else:
        for output, numbers in calls.read(Predictor(file)).items():
            np.testing.assert_allclose(numbers, answers[output], rtol=1e-4, atol=1e-5)
    manifest = file.manifest
    VALIDATOR.validate(manifest)
    assert (manifest["format"], file.inference) == (2, was.inference)
    assert manifest["resigned"] == [{"from": was.sha256, "producer": "jaxgen"}]
    assert manifest["weights"] == was.manifest["weights"]
    assert [entry.key for entry in onnx.load(path).metadata_props] == ["jaxgen"]
    assert any("identical" in line or "relative" in line for line in told)


def test_certificate_holds_what_was_measured_and_no_more(tmp_path):
    for name, kind in (("cddpm", "trajectories"), ("classifier", "evaluation")):
        source, path = OLD / f"{name}.onnx", tmp_path / "m.onnx"
        noted(path, source)
        path.write_bytes(resign(path))
        held, before = (model_file.read(file).manifest["certificate"] for file in (path, source))
        assert held["probe"] == before["probe"] and held["limits"] == before["limits"]
        ((row,), nothing) = held[kind], held[({"trajectories", "evaluation"} - {kind}).pop()]
        assert nothing == [] and row["backend"] == "onnxruntime" and row["batch"] == 8
        assert set(held["packages"]) == {"onnx", "onnxruntime", "numpy"}
        assert (row["identical"] >= 0.995) if kind == "trajectories" else (row["relative"] <= 1e-4)


def test_file_that_was_rewritten_twice_says_so(tmp_path):
    path, hashes = tmp_path / "m.onnx", []
    path.write_bytes((OLD / "gan.onnx").read_bytes())
    for tool in ("alpha 1.0", "beta"):
        hashes.append(model_file.read(path).sha256)
        model = onnx.load(path)
        model.producer_name, _, model.producer_version = tool.partition(" ")
        onnx.save(model, path)
        path.write_bytes(resign(path))
    assert model_file.read(path).manifest["resigned"] == [
        {"from": hashes[0], "producer": "alpha 1.0"}, {"from": hashes[1], "producer": "beta"}
    ]  # fmt: skip


def test_encoder_that_takes_the_class_is_adopted_too(family, tmp_path):
    path, source = tmp_path / "e.onnx", family("vae-label").encoder
    by_onnxruntime(path, source)
    path.write_bytes(resign(path))
    assert verify(opened(model_file.read(path)))["same"]
    model = onnx.load(source)
    (label,) = (value for value in model.graph.input if value.name == "label")
    label.type.tensor_type.elem_type = TensorProto.INT32
    onnx.save(model, path)
    assert "its input 'label' is int32 [N], expected int64 [N]" in refusal(path)


def test_network_alone_is_adopted_too(family, tmp_path):
    path = tmp_path / "net.onnx"
    with_shapes(path, family("gan").network)
    path.write_bytes(resign(path))
    assert verify(opened(model_file.read(path)))["same"]


def weights_to_the_top(model):
    """As an optimiser does that lifts constants out of loops."""
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    body = loop.attribute[0].g
    model.graph.initializer.extend(body.initializer)
    del body.initializer[:]


def test_weights_that_left_the_loop_are_reported_as_slower(changed):
    told = []
    resign(changed(OLD / "ddpm.onnx", weights_to_the_top), told.append)
    assert any("outside the loop's body" in line for line in told)
    told.clear()
    resign(changed(OLD / "ddpm.onnx", lambda model: model.metadata_props.add(key="a", value="b")), told.append)
    assert not any("outside the loop's body" in line for line in told)


# --- what no longer does


def dropped(name):
    """As onnxslim and onnxsim leave it: the default, and no input."""

    def change(model):
        model.graph.input.remove(next(value for value in model.graph.input if value.name == name))

    return change


@pytest.mark.parametrize(
    ("source", "name"), [("ddpm", "plan"), ("ddpm", "state"), ("cddpm", "guidance"), ("vae", "latent")]
)
def test_input_that_a_tool_dropped_is_named(changed, source, name):
    message = refusal(changed(OLD / f"{source}.onnx", dropped(name)))
    assert f"`{name}` is no longer an input: onnxslim and onnxsim drop inputs that have a default; give them" in message
    assert "--inputs required" in message


def fixed_batch(model):
    for value in model.graph.input[:2]:
        value.type.tensor_type.shape.dim[0].dim_value = 4


def fixed_rows(model):
    plan = next(value for value in model.graph.input if value.name == "plan")
    plan.type.tensor_type.shape.dim[0].dim_value = 50


def int32_seeds(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32


def renamed_output(model):
    model.graph.output[0].name = "y"


def one_more_input(model):
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N"]))


def float_images(model):
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT


def external(model):
    tensor = helper.make_tensor("far", TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    model.graph.initializer.append(tensor)


def foreign(model):
    model.graph.node[5].domain = "com.microsoft"


BROKEN = {
    fixed_batch: "its input 'seed' is int64 [4], expected int64 [N]",
    fixed_rows: "its input 'plan' is float32 [50, 9], expected float32 [N, 9]",
    int32_seeds: "its input 'seed' is int32 [N], expected int64 [N]",
    renamed_output: "it has no output 'images' (uint8 [N, 8, 8, 1])",
    one_more_input: "it has an input 'mask' that is not of the contract",
    float_images: "its output 'images' is float32 [N, 8, 8, 1], expected uint8 [N, 8, 8, 1]",
    external: "it keeps tensor data in another file",
    foreign: "uses operators that are not ONNX's own: com.microsoft.",
}


@pytest.mark.parametrize("change", BROKEN, ids=lambda change: change.__name__)
def test_message_on_a_graph_that_broke_the_contract_names_what_is_wrong(changed, change):
    assert BROKEN[change] in refusal(changed(OLD / "ddpm.onnx", change))


def weaker(model):
    """Every weight of the network at nine tenths of itself."""
    graph = model.graph
    for node in model.graph.node:
        graph = node.attribute[0].g if node.op_type == "Loop" else graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(0.9), tensor.name))


@pytest.mark.parametrize("name", ["ddpm", "gan"])
def test_other_images_are_refused_with_their_share_of_equal_pixels(changed, name):
    path = changed(OLD / f"{name}.onnx", weaker)
    message = refusal(path)
    probe = model_file.read(OLD / f"{name}.onnx").manifest["certificate"]["probe"]
    feeds = {"seed": np.full(8, probe["seed"]), "index": np.array(probe["index"])}
    feeds |= {"label": np.array(probe["label"])} if name == "gan" else {}
    images = ort.InferenceSession(path.read_bytes()).run(["images"], feeds)[0]
    share = (images == tensors.decode_images(probe["images"])).mean()
    assert f"no longer reproduces its certificate: {share:.3%} of pixels identical in 8 images" in message
    assert share < 0.99 and "'jaxgen compose'" in message


@pytest.mark.parametrize("name", ["vae.encoder", "classifier"])
def test_other_numbers_are_refused(changed, name):
    assert "no longer reproduces its certificate: " in refusal(changed(OLD / f"{name}.onnx", weaker))


@pytest.mark.parametrize("source", GOLDEN.values(), ids=GOLDEN)
def test_file_that_nothing_rewrote_is_left_alone(source):
    with pytest.raises(UsageError, match="was not rewritten: its bytes are still those of the export"):
        resign(source)


def without_certificate(manifest):
    del manifest["certificate"]


def test_file_without_a_certificate_cannot_be_measured(family, restamped, tmp_path):
    path = restamped(family("gan").onnx, manifest=without_certificate)
    noted(path, path)
    assert "has no certificate to be measured by; export it again" in refusal(path)


def test_what_is_not_one_of_jaxgens_is_one_line(changed, tmp_path):
    assert "but not one of jaxgen's" in refusal(
        changed(OLD / "gan.onnx", lambda model: model.ClearField("metadata_props"))
    )
    path = tmp_path / "half.onnx"
    path.write_bytes((OLD / "gan.onnx").read_bytes()[:20_000])
    assert "is not an ONNX file or is damaged" in refusal(path)
    path = tmp_path / "text.onnx"
    path.write_text("hello")
    assert "is not an ONNX file or is damaged" in refusal(path)

    def twice(model):
        model.metadata_props.add().CopyFrom(model.metadata_props[0])

    assert "2 jaxgen manifests" in refusal(changed(OLD / "gan.onnx", twice))


def test_graph_that_onnxruntime_does_not_load_is_one_line(changed):
    def circular(model):
        model.graph.node[-1].input[0] = model.graph.node[-1].output[0]

    assert "onnxruntime cannot load it" in refusal(changed(OLD / "gan.onnx", circular))


@pytest.mark.parametrize(
    ("name", "unused"),
    [
        ("ddpm", "plan"),
        ("ddpm", "state"),
        ("cddpm", "guidance"),
        ("cddpm", "label"),
        ("vae", "latent"),
        ("gan", "seed"),
    ],
)
def test_input_that_nothing_reads_any_more_is_named(changed, name, unused):
    """As a tool leaves it that puts a constant in the place of an input, and the input where it was."""

    def rewired(model):
        def reads(graph):
            for node in graph.node:
                node.input[:] = ["frozen" if one == unused else one for one in node.input]
                for attribute in node.attribute:
                    if attribute.HasField("g"):
                        reads(attribute.g)

        reads(model.graph)
        held = {tensor.name: tensor for tensor in model.graph.initializer}
        whole = numpy_helper.to_array(held[unused]) if unused in held else np.arange(8)
        model.graph.initializer.append(numpy_helper.from_array(whole, "frozen"))

    assert f"`{unused}` no longer changes what it gives" in refusal(
        changed(OLD.parent / f"format2/{name}.onnx", rewired)
    )


def test_swapped_outputs_are_named(changed):
    def swapped(model):
        first, second = model.graph.output
        outputs = [onnx.ValueInfoProto.FromString(one.SerializeToString()) for one in (second, first)]
        del model.graph.output[:]
        model.graph.output.extend(outputs)

    line = refusal(changed(OLD / "ddpm.onnx", swapped))
    assert "its outputs are state_out, images, expected images, state_out" in line
