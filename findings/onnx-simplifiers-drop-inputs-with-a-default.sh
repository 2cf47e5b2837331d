#!/usr/bin/env bash
# onnxslim 0.1.98 and onnxsim 0.8.1 (onnx 1.19.1 makes the model).
# Guess: a simplifier keeps a graph's interface: an input that has a default can still be fed afterwards.
# So it is: both take the default for a constant, and the input is gone, without a word.
# Seen: inputs x, scale before; x after. onnxslim.slim takes the input from the model that it is given, too, and not from
#        a copy alone.
# In jaxgen: `jaxgen adopt --resign` refuses such a file and says which input it lost.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet onnxslim==0.1.98 onnxsim==0.8.1 onnxruntime==1.23.2 numpy
venv/bin/python - <<'PY'
import numpy as np, onnx, onnxsim, onnxslim
from onnx import TensorProto, helper, numpy_helper

value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4])
scale = helper.make_tensor_value_info("scale", TensorProto.FLOAT, [4])
graph = helper.make_graph(
    [helper.make_node("Mul", ["x", "scale"], ["y"])], "g", [value("x"), scale], [value("y")],
    [numpy_helper.from_array(np.arange(4, dtype=np.float32), "scale")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
names = lambda model: [one.name for one in model.graph.input]
before, sim = names(model), names(onnxsim.simplify(model)[0])
slim = names(onnxslim.slim(model))  # last: it changes the model that it is given, too
print("before:", before, " onnxsim:", sim, " onnxslim:", slim, " the model given to onnxslim:", names(model))
assert before == ["x", "scale"] and sim == slim == names(model) == ["x"]
PY
