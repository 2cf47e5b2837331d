"""Defaults taken out of a file, against what the onnx package makes of the same bytes."""

import numpy as np
import onnx
import pytest
from golden import calls
from onnx import TensorProto, helper, numpy_helper

from jaxgen.inference.defaults import required
from jaxgen.inference.protobuf import WireError

FILES = sorted((calls.HERE / "format1").glob("*.onnx"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_left_is_the_same_model_and_what_is_taken_its_defaults(path):
    found, want = required(path.read_bytes()), onnx.load(path)
    inputs = {value.name for value in want.graph.input}
    defaults = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in want.graph.initializer if tensor.name in inputs
    }
    assert found.defaults.keys() == defaults.keys()
    for name, value in defaults.items():
        assert found.defaults[name].dtype == value.dtype and found.defaults[name].shape == value.shape
        np.testing.assert_array_equal(found.defaults[name], value)
    kept = [tensor for tensor in want.graph.initializer if tensor.name not in inputs]
    del want.graph.initializer[:]
    want.graph.initializer.extend(kept)
    assert onnx.load_from_string(found.data) == want
    assert found.outputs == [value.name for value in want.graph.output]


def model(*tensors: TensorProto) -> bytes:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "w")]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", inputs, [output], list(tensors))
    return helper.make_model(graph).SerializeToString()


@pytest.mark.parametrize(
    "value", [np.float32(2.5), np.zeros((2, 0, 300), np.float32), np.arange(6, dtype="f4").reshape(2, 3)]
)
@pytest.mark.parametrize("raw", [True, False])
def test_default_is_read_however_its_numbers_are_written(value, raw):
    value = np.asarray(value)
    held = value.tobytes() if raw else value.ravel()
    tensor = helper.make_tensor("w", TensorProto.FLOAT, value.shape, held, raw=raw)
    found = required(model(helper.make_tensor("z", TensorProto.INT64, [1], [7]), tensor))
    np.testing.assert_array_equal(found.defaults["w"], value, strict=True)
    assert [tensor.name for tensor in onnx.load_from_string(found.data).graph.initializer] == ["z"]


def short(tensor: TensorProto) -> TensorProto:
    tensor.dims[0] = 3
    return tensor


BROKEN = {
    "no graph": b"\x08\x0a",
    "two graphs": model() * 2,
    "no model": b"\xff\xff",
    "default of integers": model(helper.make_tensor("w", TensorProto.INT64, [1], [7])),
    "default that is too short": model(short(helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0]))),
    "initializer without a name": model(TensorProto(data_type=TensorProto.FLOAT)),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_model_is_refused(data):
    with pytest.raises(WireError):
        required(data)
