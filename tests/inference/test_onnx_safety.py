"""What an ONNX file may hold: its own data and the standard's operators, and nothing that leads outside."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnx_files import (
    MANIFEST,
    ONNX_18,
    body,
    branching,
    constant,
    external,
    forged,
    looping,
    model,
    refusal,
    sparse,
    tensor,
)

from jaxgen.errors import JaxgenError
from jaxgen.inference.model_file import dump_manifest, parse, read, stamp


@pytest.mark.parametrize(
    "node",
    [
        constant(external()),
        constant(external(location=None)),
        branching(body(constant(external()))),
        branching(body(branching(body(constant(external()))))),
        looping(body(constant(tensor()), initializers=[external()])),
        helper.make_node("Constant", [], ["z"], sparse_value=sparse(external())),
        helper.make_node("Constant", [], ["z"], sparse_value=sparse(external(), "indices")),
        helper.make_node("X", [], ["z"], many=[tensor(), external()]),
        helper.make_node("X", [], ["z"], many=[body(), body(constant(external()))]),
        helper.make_node("X", [], ["z"], many=[sparse(tensor()), sparse(external())]),
    ],
)
def test_external_data_in_a_node_is_refused_however_deep(node):
    assert "tensor data in another file" in refusal(forged(model([node])))


def test_external_data_outside_nodes_is_refused():
    initializer, both, training = model(initializers=[external()]), model(), model()
    both.graph.sparse_initializer.append(sparse(external()))
    training.training_info.add().algorithm.CopyFrom(body(constant(external())))
    without_location = model(initializers=[external(location=None)])
    named_only = external()
    named_only.ClearField("data_location")
    for proto in (initializer, both, training, without_location, model(initializers=[named_only])):
        assert "tensor data in another file" in refusal(forged(proto))


def test_external_data_that_exists_is_refused_before_it_is_read(tmp_path):
    proto = model(initializers=[onnx.numpy_helper.from_array(np.zeros(64, np.float32), "big")])
    proto.metadata_props.add(key="jaxgen", value=dump_manifest(MANIFEST))
    onnx.save_model(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "w.bin").exists()
    (tmp_path / "m.onnx").write_bytes(stamp((tmp_path / "m.onnx").read_bytes()))
    with pytest.raises(JaxgenError, match="tensor data in another file"):
        read(tmp_path / "m.onnx")


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "ai.onnx\0", "AI.ONNX", "ü\n", "x" * 10_000])
@pytest.mark.parametrize("place", ["opset", "node", "subgraph"])
def test_foreign_operator_domain_is_refused(domain, place):
    node = helper.make_node("Evil", ["x"], ["out"], domain=domain)
    proto = {
        "opset": lambda: model(opsets=[ONNX_18, helper.make_opsetid(domain, 1)]),
        "node": lambda: model([node]),
        "subgraph": lambda: model([looping(body(branching(body(node))))]),
    }[place]()
    message = refusal(forged(proto))
    assert "operators of the domain" in message and len(message) < 400


def test_both_spellings_of_the_standard_domain_are_accepted():
    node = helper.make_node("Neg", ["x"], ["z"], domain="ai.onnx")
    parse(forged(model([node], opsets=[helper.make_opsetid("ai.onnx", 18)])), "m")


def test_subgraphs_sparse_tensors_and_training_graphs_of_its_own_are_accepted():
    proto = model([looping(body(branching(body(constant(tensor())))))])
    proto.graph.sparse_initializer.append(sparse(tensor()))
    proto.training_info.add().algorithm.CopyFrom(body(constant(tensor())))
    parse(forged(proto), "m")


def test_local_functions_are_refused():
    node = helper.make_node("Neg", ["a"], ["b"])
    function = helper.make_function("", "Twice", ["a"], ["b"], [node], [ONNX_18])
    assert "functions of its own" in refusal(forged(model(functions=[function])))


def test_file_that_onnxruntime_would_take_for_its_own_format_is_refused():
    data = forged(model(producer_name="ORTM"))
    assert data[4:8] == b"ORTM" and onnx.load_model_from_string(data).producer_name == "ORTM"
    with pytest.raises(Exception, match="ORT model verification failed"):
        onnxruntime.InferenceSession(data)
    assert "a model of its own format" in refusal(data)
