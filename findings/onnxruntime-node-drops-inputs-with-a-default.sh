#!/usr/bin/env bash
# onnxruntime-node 1.30.0 (onnx 1.19.1 makes the model).
# Guess: an ONNX graph input that also has an initializer is optional, so a client may feed it, as onnxruntime's Python
#        package allows; a client that cannot would say so.
# So it is: inputNames leaves such an input out, and what is fed for it is dropped without an error: the result is that of
#        the default. An input name that the graph does not have is dropped in the same way.
# Seen: default 2, fed 10, x = 3: node gives 6, Python 30.
# In jaxgen: `jaxgen export --inputs required` writes a graph whose inputs have no defaults.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet onnx==1.19.1 onnxruntime==1.23.2 numpy
npm install --silent --no-audit --no-fund --ignore-scripts onnxruntime-node@1.30.0 > npm.log 2>&1 || { cat npm.log; exit 1; }
venv/bin/python - <<'PY'
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper

value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
graph = helper.make_graph(
    [helper.make_node("Mul", ["x", "scale"], ["y"])], "g", [value("x"), value("scale")], [value("y")],
    [numpy_helper.from_array(np.array([2], np.float32), "scale")],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), "model.onnx")
feeds = {"x": np.array([3], np.float32), "scale": np.array([10], np.float32)}
(y,) = onnxruntime.InferenceSession("model.onnx").run(None, feeds)
assert y[0] == 30, y
print("Python:", y[0])
PY
node - <<'JS'
const ort = require("onnxruntime-node");
(async () => {
  const session = await ort.InferenceSession.create("model.onnx");
  const one = (x) => new ort.Tensor("float32", Float32Array.of(x), [1]);
  const { y } = await session.run({ x: one(3), scale: one(10), nosuch: one(1) });
  console.log("node:", y.data[0], session.inputNames);
  if (y.data[0] !== 6 || session.inputNames.join() !== "x") process.exit(1);
})();
JS
