"""Plans of few steps: how far each is from the model's own images of 200 steps, and its FID.

    jaxgen export runs/cddpm-digits -o cddpm-digits.onnx
    jaxgen export runs/classifier-digits -o classifier-digits.onnx
    python experiments/plans/measure.py cddpm-digits.onnx --dataset digits --extractor classifier-digits.onnx

Every sampler without noise and every spacing, and the plan that a search finds on other noise (`jaxgen tune`); then
solvers of higher order, which no row of a plan can say, at the times that were best for DPM-Solver++ 2M; and plans
whose three numbers of a row are fitted to the images of 200 steps, at the same times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from solvers import SOLVERS

from jaxgen import data
from jaxgen.evaluation.features import Extractor
from jaxgen.evaluation.metrics import METRICS
from jaxgen.evaluation.report import evaluate
from jaxgen.images import to_uint8
from jaxgen.inference.model import Model
from jaxgen.inference.tuning import tune
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.process import Diffusion
from jaxgen.sampling.sampler_spec import KINDS, SamplerSpec, parts, schedule_of, table

Array = np.ndarray
SHOWN = ("fid", "label_accuracy")
FITTED = 256  # images by which a row's numbers are fitted, of another seed


class Images:
    """Images of one seed, with the classes in turn."""

    def __init__(self, model: Model, count: int, seed: int) -> None:
        self.model, self.count = model, count
        self.index = np.arange(count)
        self.seed = np.full(count, seed)
        self.label = self.index % len(model.classes) if model.classes else None
        self.noise = self.advance(np.array([[0, 0, 0, 1, 1, 0, 0, 0, 0]], np.float32))[0]

    def advance(self, plan: Array, state: Array | None = None) -> Array:
        """The state after these rows, in batches: float32 [2, N, H, W, C]."""
        ends = []
        for rows in np.array_split(self.index, -(-self.count // 250)):
            label = None if self.label is None else self.label[rows]
            given = None if state is None else state[:, rows]
            ends.append(self.model.sample(self.seed[rows], self.index[rows], label=label, plan=plan, state=given)[1])
        return np.concatenate(ends, axis=1)

    def predict(self, x: Array, row: Array) -> Array:
        """x0 as this row of a plan has it."""
        return self.advance(row[None], np.stack([x, np.zeros_like(x)]).astype(np.float32))[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--extractor", required=True, type=Path)
    parser.add_argument("-n", "--count", type=int, default=1000)
    parser.add_argument("--steps", default="4,8,16")
    arguments = parser.parse_args()
    model = Model.open(arguments.model)
    real, test = (data.load(arguments.dataset, split) for split in ("train", "test"))
    extractor = Extractor.open(arguments.extractor)
    images = Images(model, arguments.count, seed=0)

    def scores(x: Array) -> str:
        report = evaluate(
            to_uint8(x), real.images, (test.images, test.labels), extractor, labels=images.label,
            metrics={name: METRICS[name] for name in SHOWN},
        )  # fmt: skip
        return " | ".join(f"{report.scores[name].value:.3f}" if name in report.scores else "" for name in SHOWN)

    wanted = images.advance(table(model.process(), SamplerSpec("dpmpp-2m", 200)))[0]
    print(f"{arguments.model.name} {model.artifact.sha256[:12]}, {arguments.count} images; {extractor.sha256[:12]}\n")
    print(f"| evaluations | plan | distance | {' | '.join(SHOWN)} |\n|---:|---|---:|{'---:|' * len(SHOWN)}")
    print(f"| 200 | dpmpp-2m | 0 | {scores(wanted)} |", flush=True)
    for steps in map(int, arguments.steps.split(",")):
        for name, count, x in plans(model, images, steps):
            distance = np.sqrt(np.mean((x - wanted) ** 2))
            print(f"| {count} | {name} | {distance:.4f} | {scores(x)} |", flush=True)


def plans(model: Model, images: Images, steps: int) -> Iterator[tuple[str, int, Array]]:
    """(name, evaluations, x at its end) of each plan and solver."""
    process = model.process()
    if not isinstance(process, Diffusion):
        raise SystemExit("the solvers here are those of diffusion models")
    for sampler in ("ddim", "dpmpp-2m"):
        for spacing in KINDS[Diffusion].spacings:
            yield f"{sampler}, {spacing}", steps, images.advance(model.table(model.recipe(
                sampler=sampler, steps=steps, eta=0.0, spacing=spacing
            )))[0]  # fmt: skip
    yield "ancestral, trailing", steps, images.advance(model.table(SamplerSpec("ancestral", steps)))[0]
    begin = time.perf_counter()
    found = tune(model, steps)
    seconds = time.perf_counter() - begin
    tried = f"{parts(found.recipe.sampler)[0]}, searched: {found.record['plans']} plans in {seconds:.0f} s"
    yield tried, steps, images.advance(found.table)[0]
    kept, times = schedule_of(process), found.table[:, 0].astype(int)
    yield "fitted rows, searched times", steps, images.advance(fitted(model, process, times))[0]
    for name, (solver, evaluations) in SOLVERS.items():
        at = times
        if evaluations(steps) != steps:  # as many evaluations, so fewer times
            at = tune(model, (steps + 1) // 2).table[:, 0].astype(int)
        rows = {int(row[0]): row for row in KINDS[Diffusion].table(process, "ddim", 0.0, at)}
        x = solver(lambda x, t, rows=rows: images.predict(x, rows[int(t)]), images.noise, at, kept)
        yield f"{name}, searched times", evaluations(len(at)), x


def fitted(model: Model, process: Diffusion, times: Array) -> Array:
    """The plan of these times whose x, x0 and x0_prev of each row lead as near as they can, in squares, to where many
    steps lead from the same noise: a regression a row, on images of another seed."""
    images = Images(model, FITTED, seed=1)
    every = KINDS[Diffusion].times(process, min(200, process.steps), "trailing")
    union = np.unique(np.concatenate([every, times]))[::-1]
    fine, plan = (
        KINDS[Diffusion].table(process, "dpmpp-2m", 0.0, union),
        KINDS[Diffusion].table(process, "ddim", 0.0, times),
    )
    cuts = [np.flatnonzero(union == time)[0] for time in times[1:]] + [len(union)]
    exact = state = np.stack([images.noise, np.zeros_like(images.noise)])
    begin = 0
    for row, end in zip(plan, cuts, strict=True):
        exact, begin = images.advance(fine[begin:end], exact), end
        x0 = images.predict(state[0], row)
        terms = np.stack([state[0], x0, state[1]]).reshape(3, -1).astype(np.float64)
        terms = terms[: 3 if state[1].any() else 2]
        solution = np.linalg.lstsq(terms @ terms.T, terms @ exact[0].ravel(), rcond=None)[0]
        row[[COLUMNS.index("x"), COLUMNS.index("x0"), COLUMNS.index("x0_prev")]] = [*solution, 0][:3]
        state = images.advance(row[None], state)
    return plan


if __name__ == "__main__":
    main()
