"""python worker.py RUNTIME MODEL FEEDS.npz IMAGES: one library on one model file, in an environment of its own.

Loads the model, runs it twice, writes the first run's images (uint8, raw) and says "ready", or "unsteady" if those of
the second run are others. From then on each line on stdin is a run, answered by its seconds. What goes wrong is told on
one line that starts with "error ". The environment holds the library and NumPy, and jaxgen in two rows alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Feeds = dict[str, np.ndarray]
Run = Callable[[], np.ndarray]  # -> images uint8 [N, H, W, C]


def onnxruntime(path: str, feeds: Feeds) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(["images"], feeds)[0]


def reference(path: str, feeds: Feeds) -> Run:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(path)
    return lambda: evaluator.run(["images"], feeds)[0]


def openvino(path: str, feeds: Feeds) -> Run:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino as ov

    core = ov.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_NUM_THREADS": 1})
    request = compiled.create_infer_request()
    return lambda: request.infer(feeds)["images"]


def tract(path: str, feeds: Feeds) -> Run:
    import tract as library

    model = library.onnx().load(path).into_model()
    names = [model.input_name(number) for number in range(model.input_count())]
    runnable = model.into_runnable()
    return lambda: runnable.run([np.ascontiguousarray(feeds[name]) for name in names])[0].to_numpy()


def tinygrad(path: str, feeds: Feeds) -> Run:
    from tinygrad import Tensor
    from tinygrad.nn.onnx import OnnxRunner

    runner = OnnxRunner(path)
    return lambda: runner({name: Tensor(value) for name, value in feeds.items()})["images"].numpy()


def opencv(path: str, feeds: Feeds) -> Run:
    import cv2

    net = cv2.dnn.readNetFromONNX(path)
    if net.empty():
        raise RuntimeError("readNetFromONNX gives a network without layers")

    def run() -> np.ndarray:
        for name, value in feeds.items():
            net.setInput(value, name)
        return net.forward("images")

    return run


def iree(path: str, feeds: Feeds) -> Run:
    import iree.runtime as library

    folder, bin_folder = Path(path).parent, Path(sys.executable).parent
    text, program = folder / "model.mlir", folder / "model.vmfb"
    for command in (
        [bin_folder / "iree-import-onnx", path, "-o", text],
        [bin_folder / "iree-compile", text, "--iree-hal-target-device=local",
         "--iree-hal-local-target-device-backends=llvm-cpu", "-o", program],
    ):  # fmt: skip
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
            raise RuntimeError(lines[0] if lines else done.stderr)
    module = library.load_vm_flatbuffer_file(str(program), driver="local-task")
    return lambda: np.asarray(module.main_graph(*feeds.values()))


def mnn(path: str, feeds: Feeds) -> Run:
    import MNN.nn as library

    converted = Path(path).with_suffix(".mnn")
    command = [str(Path(sys.executable).parent / "mnnconvert"), "-f", "ONNX", "--modelFile", path]
    done = subprocess.run(
        [*command, "--MNNModel", str(converted), "--bizCode", "x"], capture_output=True, text=True, check=False
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if "Not Support" in line or "rror" in line]
    if not converted.exists() or any("Not Support" in line for line in said):
        raise RuntimeError(said[0] if said else "mnnconvert writes no file")
    library.load_module_from_file(str(converted), list(feeds), ["images"])
    raise RuntimeError("converted, and not tried further")


def jaxgen(path: str, feeds: Feeds, runtime: str) -> Run:
    """What `jaxgen sample --runtime` does."""
    from jaxgen.inference.model import Model

    model = Model.open(path, runtime=runtime, **({"threads": 1} if runtime == "openvino" else {}))
    return lambda: model.sample(**feeds)[0]


RUNTIMES: dict[str, Callable[[str, Feeds], Run]] = {
    "onnxruntime": onnxruntime,
    "reference": reference,
    "openvino": openvino,
    "tract": tract,
    "tinygrad": tinygrad,
    "opencv": opencv,
    "iree": iree,
    "mnn": mnn,
    "jaxgen-openvino": lambda path, feeds: jaxgen(path, feeds, "openvino"),
    "jaxgen-tract": lambda path, feeds: jaxgen(path, feeds, "tract"),
}


def main(runtime: str, path: str, feeds_path: str, images_path: str) -> None:
    with np.load(feeds_path, allow_pickle=False) as stored:
        feeds = dict(stored)
    try:
        run = RUNTIMES[runtime](path, feeds)
        images, again = (np.array(run(), np.uint8) for _ in range(2))
    except BaseException as err:
        print("error", " ".join(str(err).split()) or type(err).__name__, flush=True)
        raise SystemExit(1) from None
    Path(images_path).write_bytes(images.tobytes())
    print("ready" if np.array_equal(images, again) else "unsteady", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        run()
        print(time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
