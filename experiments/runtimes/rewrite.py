"""python rewrite.py TOOL MODEL OUT: what a tool makes of a model file, in an environment of its own as in worker.py."""

from __future__ import annotations

import sys
from collections.abc import Callable


def onnxslim(path: str, out: str) -> None:
    import onnx
    import onnxslim as tool

    onnx.save(tool.slim(path), out)


def onnxsim(path: str, out: str) -> None:
    import onnx
    from onnxsim import simplify

    model, _ = simplify(path)
    onnx.save(model, out)


def onnxoptimizer(path: str, out: str) -> None:
    import onnx
    import onnxoptimizer as tool

    onnx.save(tool.optimize(onnx.load(path)), out)


def optimized(path: str, out: str) -> None:
    """What onnxruntime makes of the graph when it loads it, saved."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = out
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def float16(path: str, out: str) -> None:
    import onnx
    from onnxconverter_common.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), out)


def quantized(path: str, out: str) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(path, out)


TOOLS: dict[str, Callable[[str, str], None]] = {
    "onnxslim": onnxslim,
    "onnxsim": onnxsim,
    "onnxoptimizer": onnxoptimizer,
    "optimized": optimized,
    "float16": float16,
    "quantized": quantized,
}


def main(tool: str, path: str, out: str) -> None:
    try:
        TOOLS[tool](path, out)
    except BaseException as err:
        print("error", " ".join(str(err).split()) or type(err).__name__, flush=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
