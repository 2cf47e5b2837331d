"""python worker.py RUNTIME MODEL FEEDS.npz OUTPUT RESULT: one library on one model file, in an environment of its own.

Loads the model, runs it twice, writes the first run's OUTPUT (raw numbers: images are uint8, what a network gives is
float32) and says "ready", or "unsteady" if those of the second run are others. From then on each line on stdin is a
run, answered by its seconds. What goes wrong is told on one line that starts with "error ". The environment holds the
library and NumPy, and jaxgen in two rows alone; files that a library makes go into the current folder.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from compilers import emx, iree, mnn, tvm
from readers import Feeds, Run, jaxgen, onnx2torch, onnxruntime, opencv, openvino, reference, tinygrad, tract

RUNTIMES: dict[str, Callable[[str, Feeds, str], Run]] = {
    "onnxruntime": onnxruntime,
    "reference": reference,
    "openvino": openvino,
    "tract": tract,
    "tinygrad": tinygrad,
    "opencv": opencv,
    "onnx2torch": onnx2torch,
    "iree": iree,
    "mnn": mnn,
    "tvm": tvm,
    "emx": emx,
    "jaxgen-openvino": lambda path, feeds, output: jaxgen(path, feeds, "openvino"),
    "jaxgen-tract": lambda path, feeds, output: jaxgen(path, feeds, "tract"),
}


def main(runtime: str, path: str, feeds_path: str, output: str, result_path: str) -> None:
    with np.load(feeds_path, allow_pickle=False) as stored:
        feeds = dict(stored)
    dtype = np.uint8 if output == "images" else np.float32
    try:
        run = RUNTIMES[runtime](path, feeds, output)
        result, again = (np.array(run(), dtype) for _ in range(2))
    except BaseException as err:
        print("error", " ".join(str(err).split()) or type(err).__name__, flush=True)
        raise SystemExit(1) from None
    Path(result_path).write_bytes(result.tobytes())
    print("ready" if np.array_equal(result, again) else "unsteady", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        run()
        print(time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
