"""The runtimes and tools that are tried, each with the versions that it is tried with."""

from __future__ import annotations

from pathlib import Path

from measure import EXPORTED, FED, NETWORK, NEWEST, NUMPY, REQUIRED, Row

REPOSITORY = Path(__file__).parents[2]
OPENVINO, TRACT, ONNX = "openvino==2026.4.1", "tract==0.23.9", "onnx==1.23.2"


def _python(name: str, *packages: str, worker: str = "", inputs: str = EXPORTED) -> Row:
    return Row(name=name, worker=worker or name, packages=(*packages, NUMPY), inputs=inputs)


def _both(name: str, *packages: str, worker: str = "") -> tuple[Row, Row]:
    """A runtime on the whole file and on the network alone."""
    whole, alone = (_python(name, *packages, worker=worker, inputs=inputs) for inputs in (EXPORTED, NETWORK))
    return whole, alone


def _tool(name: str, tool: str, *packages: str) -> Row:
    return Row(name=name, worker="onnxruntime", packages=(*packages, NUMPY), tool=tool)


RUNTIMES = (
    *(_python("onnxruntime", f"onnxruntime=={version}") for version in ("1.20.1", "1.21.1")),
    *_both("onnxruntime", NEWEST),
    _python("onnx.reference", ONNX, worker="reference"),
    *(_python("OpenVINO", OPENVINO, worker="openvino", inputs=inputs) for inputs in (EXPORTED, REQUIRED, FED, NETWORK)),
    _python("OpenVINO in jaxgen", OPENVINO, str(REPOSITORY), worker="jaxgen-openvino"),
    *_both("tract", TRACT),
    _python("tract in jaxgen", TRACT, str(REPOSITORY), worker="jaxgen-tract"),
    *(
        Row(name=name, worker=name, packages=(f"{name}@1.30.0",), inputs=inputs)
        for name in ("onnxruntime-node", "onnxruntime-web")
        for inputs in (EXPORTED, REQUIRED)
    ),
    *_both("tinygrad", "tinygrad==0.14.0", "ziglang==0.17.1"),
    *_both("OpenCV", "opencv-python-headless==5.0.0.93", worker="opencv"),
    *_both("IREE", "iree-base-compiler[onnx]==3.13.0", "iree-base-runtime==3.13.0", worker="iree"),
    *_both("MNN", "MNN==3.6.1", worker="mnn"),
    *_both("TVM", "apache-tvm==0.27.0.post1", ONNX, worker="tvm"),
    *_both("emx-onnx-cgen", "emx-onnx-cgen==1.4.0", worker="emx"),
    *_both("onnx2torch", "onnx2torch==1.5.15", "torch==2.13.0", ONNX),
)
TOOLS = (
    _tool("onnx.shape_inference", "shapes", ONNX),
    *(_tool(f"onnx.version_converter, to {opset}", f"opset{opset}", ONNX) for opset in (18, 21, 26)),
    _tool("onnx_ir, read and written", "ir", "onnx_ir==1.1.0", ONNX),
    _tool("onnxscript's optimizer", "onnxscript", "onnxscript==0.7.2", ONNX),
    _tool("onnxslim", "onnxslim", "onnxslim==0.1.98", ONNX),
    _tool("onnxsim", "onnxsim", "onnxsim==0.8.1", ONNX),
    _tool("onnxoptimizer", "onnxoptimizer", "onnxoptimizer==0.4.2", ONNX),
    _tool("onnxruntime's optimised model", "optimized", NEWEST, ONNX),
    _tool("onnxruntime's own format (.ort)", "ort", NEWEST, ONNX),
    _tool("onnxruntime quantize_dynamic", "quantized", NEWEST, ONNX),
    _tool("onnxruntime quantize_static", "calibrated", NEWEST, ONNX),
    _tool("onnxruntime.transformers float16", "transformers16", NEWEST, ONNX),
    _tool("onnxconverter-common float16", "float16", "onnxconverter-common==1.16.0", ONNX),
)
