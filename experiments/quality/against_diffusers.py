"""Our images beside those of a plain diffusers recipe that is trained for the same CPU seconds on the same machine.

    python experiments/quality/table.py time --only unet14
    python experiments/quality/against_diffusers.py --row unet14 --ours ~/quality/1200s/unet14/model.onnx \\
        --out ~/quality/diffusers --seconds 1200

The recipe is `diffusers_recipe.py`, with the diffusers and the PyTorch of constraints.txt. There are four stages, which
may be named to do them alone: `time` (their training step and that of a row of variants.py, in turns), `train` (as many
steps as the seconds pay for; what was interrupted goes on), `score` (both sides by `jaxgen eval`, theirs from an .npy
file), and `speed` (both sample in turns: 50 steps of DDIM there, the file's default plan here). `time` and `speed` are
for a machine that does nothing else. CPU seconds are step time x steps, as in table.py. What is found is added to
against_diffusers.json and, in the end, written as against_diffusers.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import diffusers_recipe
import numpy as np
import scoring
import table
from diffusers_recipe import Recipe
from variants import VARIANTS

from jaxgen import data
from jaxgen.inference.benchmark import machine
from jaxgen.inference.model import Model

sys.path.append(str(table.HERE.parent / "training-speed"))
from steps import in_turns, jax_step

RESULT = table.HERE / "against_diffusers.json"
SAVE_EVERY, SAY_EVERY = 200, 20  # steps
IMAGES = 64  # of a call that is timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = {"time": time_steps, "train": train, "score": score, "speed": speed}
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"{', '.join(stages)}; default: all, in this order")
    parser.add_argument("--row", default="unet14", choices=VARIANTS, help="of table.py; default: %(default)s")
    parser.add_argument("--ours", type=Path, required=True, metavar="FILE.onnx", help="the model of that row")
    parser.add_argument("--out", type=Path, required=True, help="a folder outside the work tree")
    parser.add_argument("--seconds", type=float, default=1200, help="of training; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="of what is timed; default: %(default)s")
    parser.add_argument("--busy", action="store_true", help="measure even while the machine does something else")
    scoring.add_options(parser)
    arguments = parser.parse_args()
    if unknown := set(arguments.stages) - set(stages):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}; choose from {', '.join(stages)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.stages or stages:
        found = stages[name](arguments)
        scoring.write(RESULT, scoring.read(RESULT) | found | {"machine": machine(), "commit": scoring.commit()})
    if page := markdown(scoring.read(RESULT)):
        RESULT.with_suffix(".md").write_text(page)
        print(page)


def time_steps(arguments: argparse.Namespace) -> dict[str, Any]:
    """Their step, in the seconds of times.json: a machine that is faster today is so for both."""
    table.require_quiet(arguments.busy)
    theirs = recipe(arguments)
    seconds = in_turns(
        {("ours", ""): jax_step(VARIANTS[arguments.row].config), ("theirs", ""): theirs.step}, arguments.rounds
    )
    ours, diffusers = seconds.values()
    ratio = statistics.median(b / a for a, b in zip(ours, diffusers, strict=True))
    step = ratio * table.timed(arguments.row)["step_seconds"]
    print(f"a step of diffusers: {1000 * step:.0f} ms, {ratio:.2f} times that of {arguments.row}", flush=True)
    return {"row": arguments.row, "step_ratio": ratio, "step_seconds": step, "parameters": theirs.parameters}


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Until its share of steps is done, with a checkpoint every now and then."""
    theirs, steps = recipe(arguments), their_steps(arguments)
    start, begun = theirs.step_count, time.monotonic()
    print(f"diffusers: {theirs.parameters:,} parameters, {steps:,} steps, {start:,} of them done", flush=True)
    while theirs.step_count < steps:
        loss, done = theirs.step(), theirs.step_count
        if done % SAVE_EVERY == 0 or done == steps:
            theirs.save(checkpoint(arguments))
        if done % SAY_EVERY == 0 or done == steps:
            left = (steps - done) * (time.monotonic() - begun) / (done - start)
            print(f"step {done:6} of {steps}, loss {loss:.4f}, {left / 60:.0f} min left", flush=True)
    return {"seconds": arguments.seconds, "steps": steps}


def score(arguments: argparse.Namespace) -> dict[str, Any]:
    """The reports of both sides."""
    theirs, steps = recipe(arguments), their_steps(arguments)
    if theirs.step_count != steps:
        sys.exit(f"diffusers: trained for {theirs.step_count} of {steps} steps; run the stage train")
    path, parts = arguments.out / f"images-{steps}.npy", []
    for part in diffusers_recipe.batches(theirs.pipeline(), arguments.count, arguments.out / f"images-{steps}"):
        parts.append(part)
        print(f"diffusers: {sum(map(len, parts)):,} of {arguments.count:,} images", flush=True)
    np.save(path, np.concatenate(parts))
    judge = scoring.judge(arguments)
    return {"theirs": judge.score(path), "ours": judge.score(arguments.ours)}


def speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Images per second of both, and the median ratio of calls that follow each other."""
    table.require_quiet(arguments.busy)
    pipeline, model = recipe(arguments).pipeline(), Model.open(arguments.ours)
    label = "all" if model.classes else -1
    seconds = in_turns(
        {
            ("ours", ""): lambda: next(model.stream(IMAGES, label=label, batch_size=IMAGES)),
            ("theirs", ""): lambda: diffusers_recipe.sample(pipeline, IMAGES, seed=0),
        },
        arguments.rounds,
    )
    ours, theirs = seconds.values()
    return {
        "ours_per_second": IMAGES / statistics.median(ours),
        "theirs_per_second": IMAGES / statistics.median(theirs),
        "speed_ratio": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
    }


def recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe as far as it was trained."""
    made = Recipe(data.load("mnist", data_dir=arguments.data_dir).images)
    if checkpoint(arguments).exists():
        made.restore(checkpoint(arguments))
    return made


def checkpoint(arguments: argparse.Namespace) -> Path:
    return arguments.out / f"{arguments.seconds:g}s.pt"


def their_steps(arguments: argparse.Namespace) -> int:
    """What the seconds pay for. Exits if their step was not timed."""
    found = scoring.read(RESULT)
    if found.get("row") != arguments.row:
        sys.exit(f"the step of diffusers was not timed beside {arguments.row}; run the stage time")
    return max(1, round(arguments.seconds / found["step_seconds"]))


def markdown(found: dict[str, Any]) -> str:
    """The two rows; empty before the stages are done."""
    if not {"steps", "theirs", "speed_ratio"} <= found.keys():
        return ""
    timed = table.timed(found["row"])
    fids = [found[side]["scores"]["fid"]["value"] for side in ("ours", "theirs")]
    ours, theirs = (
        " | ".join(scoring.number(found[side], name) for name in ("fid", "kid", "precision", "recall"))
        for side in ("ours", "theirs")
    )
    return f"""\
{found["seconds"]:g} CPU seconds of training each, {found["machine"]}, commit {found["commit"]}; \
{found["ours"]["n"]:,} images each, extractor {found["ours"]["extractor"][:12]}.

| | parameters | ms a step | steps | FID | KID | precision | recall | images/s |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
| {found["row"]} | {timed["parameters"]:,} | {1000 * timed["step_seconds"]:.0f} | \
{table.steps_of(found["row"], found["seconds"]):,} | {ours} | {found["ours_per_second"]:.1f} |
| {diffusers_recipe.SETTINGS} | {found["parameters"]:,} | {1000 * found["step_seconds"]:.0f} | {found["steps"]:,} | \
{theirs} | {found["theirs_per_second"]:.1f} |

FID ours / theirs: {fids[0] / fids[1]:.2f}. Images per second ours / theirs: {found["speed_ratio"]:.1f}.
"""


if __name__ == "__main__":
    main()
