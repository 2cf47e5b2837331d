#!/usr/bin/env bash
# onnxruntime 1.23.2 (onnx 1.19.1 makes the model).
# Guess: quantize_dynamic quantises every MatMul with constant weights, wherever it stands, or says what it leaves out.
# So it is: a MatMul in the body of a Loop stays in float32, without a warning, while the same one outside is quantised.
# Seen: operators of the body after quantisation: MatMul; of the graph without a loop: MatMulInteger.
# In jaxgen: `jaxgen export --network` writes the network without its loop, and `jaxgen compose` puts it back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet onnx==1.19.1 onnxruntime==1.23.2 numpy sympy
venv/bin/python - <<'PY'
import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

FLOAT, BOOL, INT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
weights = numpy_helper.from_array(np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32), "w")
value = helper.make_tensor_value_info
body = helper.make_graph(
    [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("MatMul", ["h", "w"], ["h_next"])], "body",
    [value("i", INT64, []), value("go", BOOL, []), value("h", FLOAT, ["N", 64])],
    [value("go_on", BOOL, []), value("h_next", FLOAT, ["N", 64])], [weights],
)
many = numpy_helper.from_array(np.array(3, np.int64), "many")
true = numpy_helper.from_array(np.array(True), "true")
ends = ([value("x", FLOAT, ["N", 64])], [value("y", FLOAT, ["N", 64])])
looped = helper.make_graph([helper.make_node("Loop", ["many", "true", "x"], ["y"], body=body)], "g", *ends, [many, true])
plain = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", *ends, [weights])


def operators(graph):
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from operators(attribute.g)


kinds = {}
for name, graph in (("looped", looped), ("plain", plain)):
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), f"{name}.onnx")
    quantize_dynamic(f"{name}.onnx", f"{name}.int8.onnx")
    kinds[name] = set(operators(onnx.load(f"{name}.int8.onnx").graph))
    print(name, sorted(kinds[name]))
assert "MatMul" in kinds["looped"] and "MatMulInteger" not in kinds["looped"]
assert "MatMulInteger" in kinds["plain"] and "MatMul" not in kinds["plain"]
PY
