"""What an exported file says and holds: inputs, outputs, weights, and nothing of the machine that made it."""

import platform
import site
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from golden import calls
from runtimes import shape_of

# --- the contract


def test_inputs_and_outputs_are_those_of_the_contract(session, model):
    h, w, c = shape_of(model)
    required = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    optional = {value.name: (value.type, value.shape) for value in session.get_overridable_initializers()}
    words, label, scale = ("tensor(int64)", ["N"]), {}, {}
    if model.classes:
        label, scale = {"label": words}, {"guidance": ("tensor(float)", [])}
    assert required == {"seed": words, "index": words, **label}
    assert {name: kind for name, (kind, _) in optional.items()} == dict.fromkeys(optional, "tensor(float)")
    assert set(optional) == {"plan", "state", *scale}
    assert {value.name: (value.type, value.shape) for value in session.get_outputs()} == {
        "images": ("tensor(uint8)", ["N", h, w, c]),
        "state_out": ("tensor(float)", [2, "N", h, w, c]),
    }


def test_inputs_stand_in_the_order_of_the_contract(model):
    names = [value.name for value in onnx.load(model.onnx).graph.input]
    extra = ["label", "guidance"] if model.classes else []
    assert names == ["seed", "index", *extra, "plan", "state"]


# --- what is in the file


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from graphs(inner)


@pytest.fixture(scope="module")
def proto(model):
    return onnx.load_from_string(model.onnx.read_bytes())


@pytest.fixture(scope="module", params=["unconditional", "conditional", *sorted(calls.stems(calls.FOLDERS[-1]))])
def each(request):
    """A file of every kind: two of today's, and the golden ones of its format."""
    if request.param.endswith("conditional"):
        return onnx.load(request.getfixturevalue(request.param).onnx)
    return onnx.load(calls.FOLDERS[-1] / f"{request.param}.onnx")


def test_weights_are_initializers_of_the_loops_body(proto, model):
    (loop,) = (node for node in proto.graph.node if node.op_type == "Loop")
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    outer = {tensor.name for tensor in proto.graph.initializer}
    assert outer == {"plan", "state"} | ({"guidance"} if model.classes else set())
    held = [onnx.numpy_helper.to_array(tensor) for tensor in body.initializer]
    held = {tuple(np.sort(value.ravel())) for value in held if value.dtype == np.float32}
    kernels = {name: value for name, value in model.params.items() if name.endswith((".kernel", ".embedding"))}
    missing = [name for name, value in kernels.items() if tuple(np.sort(value.ravel())) not in held]
    assert not missing  # whatever their layout


def test_file_holds_onnx_own_operators_alone(each):
    onnx.checker.check_model(each, full_check=True)
    assert [(opset.domain, opset.version) for opset in each.opset_import] == [("", 20)]
    assert not each.functions
    assert {node.domain for graph in graphs(each.graph) for node in graph.node} == {""}


def test_every_node_has_a_name_of_its_own(each):
    names = [node.name for graph in graphs(each.graph) for node in graph.node]
    assert all(names) and len(set(names)) == len(names)


def test_names_of_nodes_say_where_they_are(proto):
    names = [node.name for graph in graphs(proto.graph) for node in graph.node]
    assert {"key0", "x_noise/w0/b20", "x_end", "noise/d0/by13", "images"} <= set(names)
    assert any(name.startswith("net/") for name in names)


def test_every_tensor_is_stored_as_raw_bytes(each):
    for graph in graphs(each.graph):
        constants = [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
        for tensor in [*graph.initializer, *constants]:
            size = int(np.prod(tensor.dims)) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            assert len(tensor.raw_data) == size, tensor.name


def test_what_tools_cannot_read_is_not_there(each):
    """Branches outside the loop; words of 64 bits without a sign; a Reshape of the empty state to a size of -1."""
    operators = [node.op_type for node in each.graph.node]
    assert "If" not in operators
    held = {node.output[0]: node.attribute[0].t for node in each.graph.node if node.op_type == "Constant"}
    shapes = [held[node.input[1]] for node in each.graph.node if node.name == "x_flat"]
    assert len(shapes) == operators.count("Loop")
    assert all((onnx.numpy_helper.to_array(shape) >= 0).all() for shape in shapes)
    for graph in graphs(each.graph):
        for node in graph.node:
            kinds = [attribute.t.data_type for attribute in node.attribute if attribute.HasField("t")]
            kinds += [attribute.i for attribute in node.attribute if node.op_type == "Cast"]
            assert onnx.TensorProto.UINT64 not in kinds


def test_file_keeps_no_data_elsewhere_and_no_notes(each):
    for graph in graphs(each.graph):
        assert not graph.doc_string and not graph.metadata_props and not graph.quantization_annotation
        for tensor in graph.initializer:
            assert tensor.data_location == onnx.TensorProto.DEFAULT
            assert not tensor.external_data and not tensor.doc_string and not tensor.metadata_props
        for node in graph.node:
            assert not node.doc_string and not node.metadata_props
    assert not each.doc_string
    assert [entry.key for entry in each.metadata_props] == ["jaxgen"]


def test_inputs_and_outputs_have_no_notes(proto):
    for graph in graphs(proto.graph):
        for value in [*graph.input, *graph.output, *graph.value_info]:
            assert not value.doc_string and not value.metadata_props


def test_file_names_no_path_of_the_machine_that_made_it(model):
    data = model.onnx.read_bytes()
    places = [str(Path.cwd()), str(Path.home()) + "/", str(model.onnx.parent), *site.getsitepackages(), torch.__file__]
    names = [platform.node()] if len(platform.node()) > 3 else []
    for text in ["site-packages", ".py", "/tmp/", *places, *names]:
        assert text.encode() not in data, text
