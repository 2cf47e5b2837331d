"""Make the files of jaxgen/shipped from trained runs: export each, score it, and put the scores into its manifest.

    for preset in classifier-digits cddpm-digits; do jaxgen train --preset $preset --out runs/$preset; done
    python experiments/shipped/build.py runs/classifier-digits runs/cddpm-digits

A classifier becomes the extractor of its dataset, so it comes before the models that are scored with it. An extractor
that ships is not replaced without --replace: scores that name its hash would no longer be comparable.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx

from jaxgen import data, shipped
from jaxgen.config import Classifier, load
from jaxgen.errors import UsageError
from jaxgen.files import write_atomically
from jaxgen.inference import model_file
from jaxgen_export.stamping import stamped

LARGEST = 10_000  # images to score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a folder that has the name of its preset")
    parser.add_argument("--count", type=int, help="images to score; default: as many as there are test images")
    parser.add_argument("--replace", action="store_true", help="of extractors that ship already")
    arguments = parser.parse_args()
    for run in arguments.runs:
        config = load(run / "config.toml")
        if isinstance(config, Classifier):
            build_extractor(run, config.data.dataset, arguments.replace)
        else:
            build_model(run, config.data.dataset, arguments.count)


def build_extractor(run: Path, dataset: str, replace: bool) -> None:
    path = shipped.EXTRACTORS / f"{dataset}.onnx"
    if path.exists() and not replace:
        raise UsageError(f"{path} ships already; --replace makes all scores that name it a thing of the past")
    path.parent.mkdir(exist_ok=True)
    jaxgen("export", run, "-o", path)


def build_model(run: Path, dataset: str, count: int | None) -> None:
    """At most as many images are scored as there are test images, so that a score and its floor are of equally many."""
    count = min(count or LARGEST, data.info(dataset).splits["test"])
    path = shipped.FOLDER / f"{run.name}.onnx"
    jaxgen("export", run, "-o", path)
    report = json.loads(jaxgen("eval", path, "--dataset", dataset, "-n", count, "--json"))
    command = f"jaxgen eval {run.name} --dataset {dataset} -n {count}"
    del report["target"]  # a path of this machine
    record(path, {**report, "command": command, "commit": commit()})
    jaxgen("verify", path)


def record(path: Path, scores: dict[str, Any]) -> None:
    """Put the scores into the file's manifest; its hash changes, its graph does not."""
    manifest = dict(model_file.read(path).manifest) | {"scores": scores}
    write_atomically(path, stamped(onnx.load_from_string(path.read_bytes()), manifest))


def commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def jaxgen(*arguments: object) -> str:
    """The command's stdout; it says on stderr what it does."""
    command = [sys.executable, "-m", "jaxgen", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
