"""A network put into the text of a sampler: whatever it holds inside, it computes what it computes alone."""

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import helper

from jaxgen_export.graphs.compose import compose

# Three evaluations in a loop, x = x + network(x, t); what the network is told as t is the row's number.
TEXT = """
<ir_version: 10, opset_import: ["": 20, "jaxgen": 1]>
outer (float[N,2] start) => (float[N,2] end)
{
    rows = Constant <value = int64 {3}> ()
    go = Constant <value = bool {1}> ()
    end = Loop (rows, go, start) <
        body = row (int64 number, bool going, float[N,2] x) => (bool going_on, float[N,2] x_next)
        {
            going_on = Identity (going)
            t = Cast <to = 1> (number)
            out = jaxgen.Network (x, t)
            x_next = Add (x, out)
        }
    >
}
"""
START = np.array([[1, -2], [0.5, 4]], np.float32)


def core(body: str, initializers: str = "") -> onnx.ModelProto:
    head = '<ir_version: 10, opset_import: ["": 20]> net (float[N,2] x, float t) => (float[N,2] out)'
    return onnx.parser.parse_model(f"{head} {initializers} {body}")


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"start": START})[0]


def expected(network) -> np.ndarray:
    x = START
    for t in range(3):
        x = x + network(x, np.float32(t))
    return x


def test_branches_of_an_if_see_the_networks_values():
    """`scale` and `x` come from outside the branches, `y` is another value in each and in the graph around them."""
    model = core(
        """{
            one = Constant <value = float {1}> ()
            late = Greater (t, one)
            y = Mul (x, scale)
            out = If (late) <
                then_branch = a () => (z) { w = Mul (y, scale)  z = Neg (w) },
                else_branch = b () => (z) <float shift = {10}> { w = Add (y, shift)  z = Add (w, x) }
            >
        }""",
        "<float scale = {0.25}>",
    )
    want = expected(lambda x, t: -(x * 0.25) * 0.25 if t > 1 else x * 0.25 + 10 + x)
    np.testing.assert_array_equal(run(compose(TEXT, model, {})), want)


def test_loop_inside_the_network_keeps_its_own_names():
    """The body calls its own values x and t, as the network calls its inputs."""
    model = core(
        """{
            twice = Constant <value = int64 {2}> ()
            yes = Constant <value = bool {1}> ()
            shifted = Add (x, t)
            out = Loop (twice, yes, shifted) <
                body = inner (int64 i, bool c, float[N,2] h) => (bool c_next, float[N,2] h_next) {
                    c_next = Identity (c)
                    half = Mul (h, scale)
                    h_next = Add (half, t)
                }
            >
        }""",
        "<float scale = {0.5}>",
    )
    renamed = {"h": "x", "h_next": "out"}
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    inner = loop.attribute[0].g
    for value in [*inner.input, *inner.output]:
        value.name = renamed.get(value.name, value.name)
    for node in inner.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]

    def network(x, t):
        h = x + t
        for _ in range(2):
            h = h * 0.5 + t
        return h

    np.testing.assert_array_equal(run(compose(TEXT, model, {})), expected(network))


def test_weights_that_are_listed_as_inputs_are_not_taken_for_inputs():
    model = core("{ out = Mul (x, scale) }", "<float scale = {0.5}>")
    model.graph.input.insert(0, helper.make_tensor_value_info("scale", onnx.TensorProto.FLOAT, []))
    np.testing.assert_array_equal(run(compose(TEXT, model, {})), expected(lambda x, t: x * 0.5))


def test_no_note_of_a_tool_is_kept():
    model = core("{ out = Mul (x, scale) }", "<float scale = {0.5}>")
    model.graph.node[0].doc_string = model.graph.initializer[0].doc_string = "/home/somebody/net.py"
    for held in (model.graph.node[0], model.graph.initializer[0]):
        held.metadata_props.add(key="where", value="/home/somebody/net.py")
    assert b"somebody" not in compose(TEXT, model, {}).SerializeToString()


@pytest.mark.parametrize("opset", [20, 21, 23])
def test_file_is_of_the_networks_operator_set(opset):
    model = compose(TEXT, core("{ out = Neg (x) }"), {}, opset)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    np.testing.assert_array_equal(run(model), expected(lambda x, t: -x))
