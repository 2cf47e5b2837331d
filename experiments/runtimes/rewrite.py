"""python rewrite.py TOOL MODEL OUT: what a tool makes of a model file, in an environment of its own as in worker.py."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path


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


def calibrated(path: str, out: str) -> None:
    """From one batch, of the inputs that have no default."""
    import numpy as np
    import onnxruntime as ort
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Batch(CalibrationDataReader):
        def __init__(self) -> None:
            names = [value.name for value in ort.InferenceSession(path).get_inputs()]
            self._rest = iter([{name: np.arange(2) for name in names}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._rest, None)

    quantize_static(path, out, Batch())


def transformers16(path: str, out: str) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), out)


def ort(path: str, out: str) -> None:
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "source"), Path(folder, "made")
        source.mkdir()
        shutil.copy(path, source / "model.onnx")
        convert_onnx_models_to_ort(source, output_dir=made, optimization_styles=[OptimizationStyle.Fixed])
        shutil.copy(made / "model.ort", out)


def shapes(path: str, out: str) -> None:
    import onnx

    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(path)), out)


def to_opset(opset: int, path: str, out: str) -> None:
    import onnx
    from onnx import version_converter

    onnx.save(version_converter.convert_version(onnx.load(path), opset), out)


def ir(path: str, out: str) -> None:
    import onnx_ir as tool

    tool.save(tool.load(path), out)


def onnxscript(path: str, out: str) -> None:
    import onnx
    from onnxscript import optimizer

    onnx.save(optimizer.optimize(onnx.load(path)), out)


TOOLS: dict[str, Callable[[str, str], None]] = {
    "onnxslim": onnxslim,
    "onnxsim": onnxsim,
    "onnxoptimizer": onnxoptimizer,
    "optimized": optimized,
    "float16": float16,
    "quantized": quantized,
    "calibrated": calibrated,
    "transformers16": transformers16,
    "ort": ort,
    "shapes": shapes,
    "ir": ir,
    "onnxscript": onnxscript,
    **{f"opset{opset}": partial(to_opset, opset) for opset in (18, 21, 26)},
}


def main(tool: str, path: str, out: str) -> None:
    try:
        TOOLS[tool](path, out)
    except BaseException as err:
        print("error", " ".join(str(err).split()) or type(err).__name__, flush=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
