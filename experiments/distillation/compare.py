"""The methods of `jaxgen distill` beside each other and beside their teacher, by the scores of `jaxgen eval`.

    jaxgen train --preset cddpm-digits && jaxgen train --model classifier
    jaxgen export runs/classifier-digits -o classifier.onnx
    python experiments/distillation/compare.py runs/cddpm-digits --extractor classifier.onnx --set training.steps=800

Each method trains a student of the run with the same settings, in out/distillation; a second call goes on where the
first one ended. Images are sampled in JAX with seed 0, whose noise no student has seen, and a sheet of each student is
written beside the table. CPU seconds are those of this process and its threads: of the training alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgen import data
from jaxgen.config.students import METHODS, student_of
from jaxgen.evaluation.features import Extractor
from jaxgen.evaluation.report import evaluate
from jaxgen.images import grid, save_png, to_uint8
from jaxgen.models import network as networks, sampling
from jaxgen.runs.folder import RunFolder
from jaxgen.sampling import sampler_spec
from jaxgen.training.restore import Trained, load_trained
from jaxgen.training.trainer import train

OUT = Path("out/distillation")
BATCH = 250
SHOWN = 100  # images of a sheet
COLUMNS = ("fid", "precision", "recall", "label_accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="of the teacher")
    parser.add_argument("--extractor", type=Path, required=True)
    parser.add_argument("--steps", default="1", help="of the students, with commas; default: %(default)s")
    parser.add_argument("--methods", default=",".join(METHODS), help="default: %(default)s")
    parser.add_argument("--guidance", type=float, help="of the teacher; default: its own")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the students")
    parser.add_argument("-n", type=int, default=1000, help="images; default: %(default)s")
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    reader = Extractor.open(arguments.extractor)
    teacher = load_trained(arguments.run)
    print(f"| model | evaluations | training, CPU s | {' | '.join(COLUMNS)} |\n|---|---:|---:|{'---:|' * len(COLUMNS)}")
    scale = teacher.config.guidance if arguments.guidance is None else arguments.guidance
    for count in (50, *map(int, arguments.steps.split(","))):
        row("teacher", teacher, count, scale, "", reader, arguments)
    for steps in map(int, arguments.steps.split(",")):
        for method in arguments.methods.split(","):
            folder, seconds = student(arguments, teacher, method, steps)
            row(method, load_trained(folder), steps, 1.0, f"{seconds:.0f}", reader, arguments)


def student(arguments: argparse.Namespace, teacher: Trained, method: str, steps: int) -> tuple[Path, float]:
    """The run of a student, trained if it is not yet, and the CPU seconds that it took."""
    config = student_of(
        teacher.config, steps, method=method, guidance=arguments.guidance, settings=tuple(arguments.set)
    )  # fmt: skip
    folder = OUT / f"{config.name}-{method}"
    record = folder / "cpu.json"
    if not record.exists():
        begun = time.process_time()
        train(config, folder, data_dir=arguments.data_dir, teacher=arguments.run)
        record.write_text(json.dumps(time.process_time() - begun))
    if RunFolder(folder).config() != config:
        raise SystemExit(f"{folder} holds a student of other settings; move it away")
    return folder, json.loads(record.read_text())


def row(
    name: str, model: Trained, steps: int, guidance: float, seconds: str, reader: Extractor, arguments: Any
) -> None:  # fmt: skip
    """Print the scores of one model by its own sampler in so many steps, and write its sheet."""
    config = model.config
    apply = networks.build(config).apply
    plan = sampler_spec.from_config(config, steps=steps)
    labels = np.arange(arguments.n) % config.class_count if config.class_count else np.full(arguments.n, -1)
    images = []
    for start in range(0, arguments.n, BATCH):
        index = np.arange(start, min(start + BATCH, arguments.n))
        sampled = sampling.sample(
            config, apply, model.params, jnp.zeros(len(index), jnp.uint32), jnp.asarray(index, jnp.uint32),
            jnp.asarray(labels[index]), plan=plan, guidance=guidance,
        )  # fmt: skip
        images.append(to_uint8(np.asarray(sampled)))
    generated = np.concatenate(images)
    OUT.mkdir(parents=True, exist_ok=True)
    save_png(OUT / f"{name}-{steps}.png", grid(generated[:SHOWN], columns=10), {})
    size, channels = reader.shape[0], reader.shape[2]
    real, test = (
        data.load(config.data.dataset, split, data_dir=arguments.data_dir, size=size, channels=channels)
        for split in ("train", "test")
    )
    classes = labels if config.class_count else None
    report = evaluate(generated, real.images, (test.images, test.labels), reader, labels=classes)
    values = [report.scores[column] for column in COLUMNS if column in report.scores]
    cells = [f"{score.value:.3g} ± {score.margin:.2g} ({_number(score.floor)})" for score in values]
    print(f"| {name} | {steps} | {seconds} | {' | '.join(cells)} |", flush=True)


def _number(floor: float | None) -> str:
    return "no floor" if floor is None else f"{floor:.3g}"


if __name__ == "__main__":
    main()
