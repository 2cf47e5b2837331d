#!/usr/bin/env bash
# openvino 2026.4.1 (onnx 1.19.1 makes the model).
# Guess: ONNX's BitShift to the right on uint32 fills with zeros, as its specification says, or the model is refused.
# So it is: the model is read and runs without an error or a warning, and words of 2^31 and more come out wrong.
# Seen: see the output; NumPy's are beside it.
# In jaxgen: a file's noise is made of such words, so with OpenVINO it comes from NumPy and is fed (docs/runtimes.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet openvino==2026.4.1 onnx==1.19.1 numpy
venv/bin/python - <<'PY'
import numpy as np, onnx, openvino
from onnx import TensorProto, helper, numpy_helper

words = np.array([512, 2**30 + 511, 2**31, 2**32 - 1], np.uint32)
value = lambda name: helper.make_tensor_value_info(name, TensorProto.UINT32, [4])
graph = helper.make_graph(
    [helper.make_node("BitShift", ["x", "nine"], ["y"], direction="RIGHT")], "g", [value("x")], [value("y")],
    [numpy_helper.from_array(np.array([9], np.uint32), "nine")],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), "model.onnx")
compiled = openvino.Core().compile_model("model.onnx", "CPU")
found, want = compiled({"x": words})["y"], words >> 9
for word, a, b in zip(words, found, want):
    print(f"{word:>10} >> 9: openvino {a:>10}, NumPy {b:>10}")
assert (found != want).any(), "it is right now"
PY
