"""Whether a server keeps anything of what it draws: its memory before and after many images of mixed batches.

    python experiments/serving/memory.py cvae.onnx ddpm.onnx [--images 100000] [--json]

The models take turns; batches are of 1 to 256 images, as lists, sheets and ZIPs, four requests at a time; plans have
two rows. The first tenth is not counted: onnxruntime and Python take what they need when they first need it. Linux.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from server import Server, serving

from jaxgen.inference.model import Model

CLIENTS = 4
SIZES = (1, 1, 2, 3, 7, 16, 33, 64, 100, 256)
LOCAL = threading.local()


def body_of(path: str) -> dict[str, object]:
    """What a request for this file's model says of its plan."""
    return {} if Model.open(path).config.process is None else {"steps": 2}


def ask(server: Server, name: str, body: dict[str, object], number: int) -> int:
    """One request; how many images it gave."""
    rng = random.Random(number)
    count = rng.choice(SIZES)
    form = rng.choice(("list", "grid", "zip"))
    if not hasattr(LOCAL, "connection"):
        LOCAL.connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    text = json.dumps({"model": name, "seed": number, **body})
    url = f"/generate-batch?num_images={count}&format={form}"
    LOCAL.connection.request("POST", url, text, {"Content-Type": "application/json"})
    answer = LOCAL.connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {content[:300]!r}")
    return count


def run(paths: list[str], images: int) -> dict[str, object]:
    """Megabytes after each tenth of so many images."""
    bodies = [body_of(path) for path in paths]
    marks: list[float] = []
    with serving(paths) as server, ThreadPoolExecutor(CLIENTS) as pool:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
        connection.request("GET", "/models")
        names = [model["name"] for model in json.load(connection.getresponse())["models"]]
        connection.close()
        drawn = number = 0
        while drawn < images:
            batch = range(number, number + 50)
            number += 50
            asked = [(server, names[i % len(names)], bodies[i % len(names)], i) for i in batch]
            drawn += sum(pool.map(lambda one: ask(*one), asked))
            while len(marks) < 10 and drawn >= images * (len(marks) + 1) / 10:
                marks.append(server.resident_megabytes())
    return {"images": drawn, "requests": number, "megabytes": marks, "growth": marks[-1] - marks[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = run(options.models, options.images)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['images']:,} images in {result['requests']:,} requests, {CLIENTS} at a time")
    print("megabytes after each tenth: " + " ".join(f"{mark:.1f}" for mark in result["megabytes"]))
    print(f"growth from the first tenth to the end: {result['growth']:+.1f} MB")


if __name__ == "__main__":
    main()
