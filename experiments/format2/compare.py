"""Files that this checkout exports beside those of another commit: the same images byte for byte, and how fast.

    python experiments/format2/compare.py --before 83bbc7c

For each preset, a run of a few steps is trained by the earlier commit and exported by both, so that the weights are the
same; all of it is kept in out/format2, and a second call goes on where the first one ended. Then onnxruntime runs both
files on the same requests, and the tables of experiments/format2/README.md are printed. What is timed takes turns
within each round, on one thread; a ratio is the median over the rounds, above 1 where this checkout is faster.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

ROOT, OUT = Path(__file__).parents[2], Path("out/format2")
PRESETS = (
    "vae-digits", "cvae-digits", "gan-digits", "cgan-digits", "ddpm-digits", "cddpm-digits", "flow-digits",
    "classifier-digits",
)  # fmt: skip
STEPS = 40  # of training: weights that are not fresh, whose last layers would be zero
SIDES = ("before", "after")
# Words of 32 bits as they may come, the largest ones among them.
SEEDS = [2**32 - 1, 0, 2**31, 5, 2**31 - 1, 77, 1]
INDICES = [0, 2**32 - 1, 7, 2**31, 2**16, 3, 2**31 - 1]
DRAWS = (1, 999, 2**16, 2**24)  # normals that a plan may name
Feeds = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="COMMIT")
    parser.add_argument(
        "--presets", default=",".join(PRESETS), help="those of MNIST need its files; default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=21, help="of each measurement; default: %(default)s")
    arguments = parser.parse_args()
    sides = dict(zip(SIDES, (checkout(arguments.before), ROOT), strict=True))
    presets = arguments.presets.split(",")
    for preset in presets:
        export(sides, preset)
    print(f"Before: {commit(sides['before'])}. After: {commit(ROOT)}. onnxruntime {onnxruntime.__version__}.\n")
    print("| file | requests | outputs that are equal byte for byte |\n|---|---:|---:|")
    for file in files(presets):
        print(equal_row(file), flush=True)
    print("\n| what | CPU time, before / after | wall time | ms a call, before | after |\n|---|---:|---:|---:|---:|")
    for file in files(presets):
        for line in speed_rows(file, arguments.rounds):
            print(line, flush=True)
    help_text = {side: partial(jaxgen, folder, "--help") for side, folder in sides.items()}
    print(row("jaxgen --help, from the shell", help_text, children, arguments.rounds), flush=True)
    for preset in presets:
        if "ddpm" in preset or "vae" in preset:
            print(cold_row(sides, preset, arguments.rounds), flush=True)


# --- the files


def checkout(commit: str) -> Path:
    """A worktree of that commit."""
    folder = (OUT / "checkout").resolve()
    if not folder.exists():
        subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(folder), commit], check=True)
    return folder


def commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def jaxgen(folder: Path, *arguments: object) -> None:
    """The command as it is in a checkout."""
    places = os.pathsep.join(str(folder / part) for part in ("", "export", "serve"))
    # Without PYTHONSAFEPATH, the jaxgen of the present folder would come before that of the checkout.
    environment = {**os.environ, "PYTHONPATH": places, "PYTHONSAFEPATH": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "jaxgen", *map(str, arguments)]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def export(sides: dict[str, Path], preset: str) -> None:
    """The preset's file, and that of its encoder, by both sides."""
    run = OUT / "runs" / preset
    if not (run / "trained").exists():
        few = ("--set", f"training.steps={STEPS}", "--set", "training.sample_count=1")
        jaxgen(sides["before"], "train", "--preset", preset, *few, "--out", run)
        (run / "trained").touch()
    for side, folder in sides.items():
        file = OUT / side / f"{preset}.onnx"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            jaxgen(folder, "export", run, "-o", file)


def files(presets: list[str]) -> list[str]:
    """Their names, those of encoders included."""
    return [path.name for preset in presets for path in sorted((OUT / "after").glob(f"{preset}.*onnx"))]


def session(side: str, file: str) -> onnxruntime.InferenceSession:
    """On one thread, whose CPU time is what the graph needs and not what waiting costs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return onnxruntime.InferenceSession((OUT / side / file).read_bytes(), options, providers=["CPUExecutionProvider"])


def inputs(loaded: onnxruntime.InferenceSession) -> dict[str, list[int | str]]:
    values = loaded.get_inputs() + loaded.get_overridable_initializers()
    return {value.name: value.shape for value in values}


def plan(file: str, name: str) -> np.ndarray:
    """A table of the manifest, by the start of its name."""
    entries = onnx.load(OUT / "before" / file, load_external_data=False).metadata_props
    plans = json.loads(entries[0].value)["plans"]
    table = next(one["table"] for key, one in plans.items() if key.startswith(name))
    return np.frombuffer(base64.b64decode(table), "<f4").reshape(-1, 9)


# --- whether they give the same


def requests(file: str, shapes: dict[str, list[int | str]]) -> Iterator[Feeds]:
    """Batches of 1, 2 and 7, with every input that the file takes: default, empty, given."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 7):
        if "seed" not in shapes:
            yield {"images": rng.integers(0, 256, (n, *shapes["images"][1:]), np.uint8)}
            continue
        plain: Feeds = {"seed": np.array(SEEDS[:n]), "index": np.array(INDICES[:n])}
        plain |= {"label": np.arange(n) % 10} if "label" in shapes else {}
        yield plain
        yield plain | {"seed": np.array(SEEDS[-n:]), "index": np.array(INDICES[-n:])}
        start = "latent" if "latent" in shapes else "state"
        axes = {"N": n, "M": n}
        given = rng.standard_normal([axes.get(size, size) for size in shapes[start]]).astype(np.float32)
        yield plain | {start: given}
        yield plain | {start: given[:0] if start == "latent" else given[:, :0]}
        if "plan" in shapes:
            yield plain | {"plan": np.zeros((0, 9), np.float32)}
            for sample in DRAWS:  # a row of which nothing but this normal is left, and half of x
                yield plain | {"plan": np.array([[0, 0, 0, 1, 0.5, 0, 0, 1, sample]], np.float32)}
            for name in ("ancestral", "dpmpp-2m", "ddim") if "flow" not in file else ("euler",):
                rows = plan(file, name)[-10:]
                yield plain | {"plan": rows}
                yield plain | {"plan": rows, "state": given}
        if "guidance" in shapes:
            for scale in (0, 2.5):
                yield plain | {"guidance": np.array(scale, np.float32)}


def equal_row(file: str) -> str:
    loaded = {side: session(side, file) for side in SIDES}
    asked = outputs = equal = 0
    for feeds in requests(file, inputs(loaded["before"])):
        asked += 1
        found = [one.run(None, feeds) for one in loaded.values()]
        for before, after in zip(*found, strict=True):
            outputs += 1
            equal += before.dtype == after.dtype and before.shape == after.shape and before.tobytes() == after.tobytes()
    return f"| {file} | {asked} | {equal} of {outputs} |"


# --- how fast they are


def speed_rows(file: str, rounds: int) -> Iterator[str]:
    loaded = {side: session(side, file) for side in SIDES}
    shapes = inputs(loaded["before"])
    if "seed" not in shapes:
        return
    for n in (1, 16, 256) if "latent" in shapes else (1, 16):
        feeds: Feeds = {"seed": np.zeros(n, np.int64), "index": np.arange(n)}
        feeds |= {"label": np.arange(n) % 10} if "label" in shapes else {}
        if "latent" in shapes:
            yield speed_row(f"{file}, {n}", loaded, feeds, rounds)
            codes = {"latent": np.zeros((n, shapes["latent"][1]), np.float32)}
            yield speed_row(f"{file}, {n} latents given", loaded, feeds | codes, rounds)
            continue
        for name in ("ddim", "ancestral") if "flow" not in file else ("euler",):
            rows = {"plan": plan(file, name)[:10]}
            yield speed_row(f"{file}, {n}, 10 rows of {name}", loaded, feeds | rows, rounds)


def speed_row(what: str, loaded: dict[str, onnxruntime.InferenceSession], feeds: Feeds, rounds: int) -> str:
    begin = time.perf_counter()
    loaded["before"].run(None, feeds)
    calls = max(1, round(0.05 / (time.perf_counter() - begin)))  # about a twentieth of a second at a time

    def work(side: str) -> Callable[[], None]:
        return lambda: [loaded[side].run(None, feeds) for _ in range(calls)] and None

    return row(what, {side: work(side) for side in SIDES}, time.process_time, rounds, calls)


def cold_row(sides: dict[str, Path], preset: str, rounds: int) -> str:
    """From the shell to one image, each side its own code and file."""

    def work(side: str) -> Callable[[], None]:
        file, image = OUT / side / f"{preset}.onnx", OUT / f"{side}.png"
        steps = ("--steps", 10) if "ddpm" in preset else ()
        return lambda: jaxgen(sides[side], "sample", file, "-n", 1, *steps, "-o", image)

    return row(
        f"jaxgen sample {preset}.onnx -n 1, from the shell", {side: work(side) for side in SIDES}, children, rounds
    )


def children() -> float:
    """CPU seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(what: str, work: dict[str, Callable[[], None]], cpu: Callable[[], float], rounds: int, calls: int = 1) -> str:
    """One line of the table; the first round does not count."""
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for _ in range(rounds + 1):
        for side, run in work.items():
            begin = cpu(), time.perf_counter()
            run()
            taken[side].append((cpu() - begin[0], time.perf_counter() - begin[1]))
    pairs = list(zip(taken["before"], taken["after"], strict=True))[1:]
    ratios = [statistics.median(before[i] / after[i] for before, after in pairs) for i in (0, 1)]
    milliseconds = [1000 * statistics.median(one[0] for one in taken[side][1:]) / calls for side in SIDES]
    return f"| {what} | {ratios[0]:.2f} | {ratios[1]:.2f} | {milliseconds[0]:.2f} | {milliseconds[1]:.2f} |"


if __name__ == "__main__":
    main()
