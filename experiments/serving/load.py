"""How much a server draws and how soon, asked from outside by `wrk`, beside what the same file draws in-process.

    python experiments/serving/load.py --diffusion ddpm.onnx --at-once cvae.onnx [--steps 10] [--seconds 20] [--json]

`wrk` is a load generator in C (Debian: apt-get install wrk); one in Python would take the cores that it is to measure.
What is compared takes turns, and a ratio is the median of those within a round, so that a machine whose speed drifts
treats both alike. Clients ask again as soon as they are answered; each request is one image of another seed, and
the answer its PNG in JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from server import Server, serving

from jaxgen.inference.benchmark import unguided
from jaxgen.inference.model import Model
from jaxgen.sampling.sampler_spec import samplers

LUA = Path(__file__).with_name("generate.lua")
CLIENTS = 32


def wrk(server: Server, clients: int, seconds: float, members: str = "") -> dict[str, float]:
    """What so many clients got in so many seconds; members: of the body, as JSON."""
    threads = min(2, clients)
    command = ["wrk", f"-t{threads}", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "60s", "-s", str(LUA)]
    command += [f"{server.url}/generate", "--", members] if members else [f"{server.url}/generate"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stderr.splitlines()[-1])
    if found["refused"] or found["broken"]:
        print(f"not all is well: {found}", file=sys.stderr)
    return {**found, "images_per_second": found["answers"] / found["seconds"]}


def in_process(sampler: Model, plan: np.ndarray | None, batch: int, seconds: float) -> float:
    """Seconds of a batch, the median of as many as there is time for after one that does not count."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 2:
        begin = time.perf_counter()
        sampler.sample(np.full(batch, len(taken)), np.arange(batch), guidance=unguided(sampler), plan=plan)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:])


def diffusion(path: str, steps: int, rounds: int, seconds: float) -> dict[str, float]:
    """Images a second of CLIENTS clients against one process that draws CLIENTS at a time; with threads that spin, as
    `jaxgen bench` draws, or do not, as the server does: the faster of the two."""
    sampler = Model.open(path)
    both = [sampler, Model.of(sampler.artifact, spin=False)]
    recipe = {"sampler": "ddim", "steps": steps} if "ddim" in samplers(sampler.inference) else {"steps": steps}
    plan = sampler.plan(**recipe)
    members = json.dumps(recipe | ({"guidance": 1.0} if sampler.classes else {}))[1:-1]
    ratios, shares, served, batch = [], [], [], 0.0
    with serving([path]) as server:
        wrk(server, CLIENTS, 3, members)
        for _ in range(rounds):
            batch = min(in_process(one, plan, CLIENTS, seconds / 2) for one in both)
            served.append(wrk(server, CLIENTS, seconds, members))
            ratios.append(served[-1]["images_per_second"] * batch / CLIENTS)
            shares.append(served[-1]["p99_ms"] / (2000 * batch))
    return {
        "steps": steps,
        "in_process": CLIENTS / batch,
        "served": statistics.median(row["images_per_second"] for row in served),
        "ratio": statistics.median(ratios),
        "batch_ms": batch * 1000,
        "p50_ms": statistics.median(row["p50_ms"] for row in served),
        "p99_ms": statistics.median(row["p99_ms"] for row in served),
        "p99_against_two_batches": statistics.median(shares),
    }


def at_once(path: str, rounds: int, seconds: float) -> dict[str, float]:
    """CLIENTS clients, merged and with one image a call; and one client, who is alone."""
    rows: dict[str, list[dict[str, float]]] = {"merged": [], "one_by_one": [], "alone": []}
    with serving([path]) as merged, serving([path], "--max-batch", "1") as single:
        turns = {"merged": (merged, CLIENTS), "one_by_one": (single, CLIENTS), "alone": (merged, 1)}
        for server, clients in turns.values():
            wrk(server, clients, 2)
        for _ in range(rounds):
            for name, (server, clients) in turns.items():
                rows[name].append(wrk(server, clients, seconds))
    speed = {name: [row["images_per_second"] for row in found] for name, found in rows.items()}
    result = {name: statistics.median(found) for name, found in speed.items()}
    for other in ("one_by_one", "alone"):
        pairs = zip(speed["merged"], speed[other], strict=True)
        result[f"merged_against_{other}"] = statistics.median(a / b for a, b in pairs)
    for name in ("merged", "alone"):
        for figure in ("p50_ms", "p99_ms"):
            result[f"{name}_{figure}"] = statistics.median(row[figure] for row in rows[name])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diffusion", help="a model that draws by a plan")
    parser.add_argument("--at-once", help="a model that draws in one evaluation")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of each turn")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        parser.error("there is no wrk here (Debian: apt-get install wrk)")
    result = {}
    if options.diffusion:
        result["diffusion"] = diffusion(options.diffusion, options.steps, options.rounds, options.seconds)
    if options.at_once:
        result["at_once"] = at_once(options.at_once, options.rounds, options.seconds)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for kind, figures in result.items():
        print(f"{kind}, {CLIENTS} clients")
        for name, value in figures.items():
            print(f"  {name.replace('_', ' '):28} {value:10,.2f}")


if __name__ == "__main__":
    main()
