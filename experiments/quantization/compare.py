"""The table in README.md beside this: a run exported in float32, fp16 and int8, timed in turns and scored.

    python experiments/quantization/compare.py runs/cddpm-digits --dataset digits --extractor reader.onnx

Files go to out/quantization, and those that are there are taken as they are. Times are of one evaluation of the
network, the least of many calls in turns. "Elsewhere" is onnxruntime without its graph optimisations, which stands for
another machine or runtime.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from jaxgen.inference.model import Model
from jaxgen.inference.verify import compare_images, psnr

OUT = Path("out/quantization")
SCHEMES = ("float32", "fp16", "int8")
IMAGES = 64
BATCHES = (1, 64)


def jaxgen(*arguments: object) -> str:
    command = [sys.executable, "-m", "jaxgen", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def exported(run: Path, scheme: str) -> Path:
    path = OUT / f"{run.name}.{scheme}.onnx"
    if not path.exists():
        options = () if scheme == "float32" else ("--quantize", scheme, "--min-psnr", 0)
        jaxgen("export", run, "-o", path, *options)
    return path


def feeds(model: Model, count: int) -> dict[str, Any]:
    index = np.arange(count)
    label = index % len(model.classes) if model.classes else None
    return {"seed": np.zeros(count, np.int64), "index": index, "label": label}


def times(models: dict[str, Model], batch: int, repeats: int) -> dict[str, float]:
    """Milliseconds of one evaluation of each, the least of `repeats` calls in turns."""
    least = dict.fromkeys(models, float("inf"))
    for _ in range(repeats + 1):  # the first warms up
        for name, model in models.items():
            steps = model.inference.evaluations
            start = time.perf_counter()
            model.sample(**feeds(model, batch))
            least[name] = min(least[name], (time.perf_counter() - start) / steps * 1000)
    return least


def unoptimised(model: Model, count: int) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.artifact.data, options, providers=["CPUExecutionProvider"])
    return session.run(["images"], model.feeds(**feeds(model, count)))[0]


def one_by_one(model: Model, count: int) -> np.ndarray:
    given = feeds(model, count)
    each = [
        model.sample(**{name: None if value is None else value[i : i + 1] for name, value in given.items()})[0]
        for i in range(count)
    ]
    return np.concatenate(each)


def fid(path: Path, arguments: argparse.Namespace) -> str:
    options = ("--extractor", arguments.extractor) if arguments.extractor else ()
    said = json.loads(jaxgen("eval", path, "--dataset", arguments.dataset, "-n", arguments.count, "--json", *options))
    score = said["scores"]["fid"]
    return f"{score['value']:.2f} (floor {score['floor']:.2f})"


def against(images: np.ndarray, wanted: np.ndarray) -> str:
    found = compare_images(images, wanted)
    return f"{psnr(images, wanted):.1f} dB, {found['identical']:.1%}, {found['off_by']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--dataset", help="also score, by jaxgen eval")
    parser.add_argument("--extractor", type=Path)
    parser.add_argument("--count", type=int, default=1497)
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    paths = {scheme: exported(arguments.run, scheme) for scheme in SCHEMES}
    models = {scheme: Model.open(path) for scheme, path in paths.items()}
    took = {batch: times(models, batch, arguments.repeats) for batch in BATCHES}
    images = {name: model.sample(**feeds(model, IMAGES))[0] for name, model in models.items()}
    print(
        "| file | MB | ms an evaluation, batch 1 | batch 64 | against float32: PSNR, equal pixels, off by "
        "| one by one against one batch | elsewhere | FID |\n|---|---:|---:|---:|---|---|---|---:|"
    )
    for name, model in models.items():
        cells = [name, f"{len(model.artifact.data) / 1e6:.2f}"]
        for batch in BATCHES:
            cells.append(f"{took[batch][name]:.2f} ({took[batch]['float32'] / took[batch][name]:.2f}x)")
        cells.append(against(images[name], images["float32"]))
        cells.append(against(one_by_one(model, IMAGES // 4), images[name][: IMAGES // 4]))
        cells.append(against(unoptimised(model, IMAGES), images[name]))
        cells.append(fid(paths[name], arguments) if arguments.dataset else "")
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
