"""What both scripts here do with jaxgen's own commands: export, score, and say of which commit that was."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLES = 40  # images of a sheet
INTERRUPTED = (130, 143, -2, -15)  # exit codes of what was told to stop


@dataclass(frozen=True)
class Judge:
    """How images are scored: against a dataset, in the features of an extractor, None for the one that ships."""

    dataset: str
    count: int
    extractor: Path | None
    data_dir: Path | None

    def score(self, target: Path) -> dict[str, Any]:
        """The report of `jaxgen eval` for a model file, or for images in an .npy file."""
        extractor = ["--extractor", self.extractor] if self.extractor else []
        return json.loads(
            jaxgen(
                "eval", target, "--dataset", self.dataset, "-n", self.count, "--json", *extractor, *data(self.data_dir)
            )
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a Judge but for its dataset, MNIST."""
    parser.add_argument("-n", "--count", type=int, default=10_000, help="images to score; default: %(default)s")
    parser.add_argument("--extractor", type=Path, metavar="FILE.onnx", help="default: MNIST's, which ships")
    parser.add_argument("--data-dir", type=Path, help="where MNIST's files are; default: $JAXGEN_DATA_DIR")


def judge(arguments: argparse.Namespace) -> Judge:
    return Judge("mnist", arguments.count, arguments.extractor, arguments.data_dir)


def data(folder: Path | None) -> list[object]:
    return ["--data-dir", folder] if folder else []


def jaxgen(*arguments: object) -> str:
    """The command's stdout; it says on stderr what it does."""
    command = [sys.executable, "-m", "jaxgen", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def each(names: Iterable[str], do: Callable[[str], None]) -> None:
    """Do something with every name, even if it fails with some: those are told at the end, and the exit code is 1."""
    failed = []
    for name in names:
        try:
            do(name)
        except subprocess.CalledProcessError as err:
            if err.returncode in INTERRUPTED:
                raise SystemExit(err.returncode) from None
            failed.append(name)
            print(f"{name}: failed with exit code {err.returncode}", flush=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def cpu_load() -> float:
    """Processes that wanted a core in the last minute, on average."""
    return os.getloadavg()[0]


def number(report: dict[str, Any], name: str, form: str = ".3g") -> str:
    """A score with its 95 % interval; nothing where it was not computed."""
    score = report["scores"].get(name)
    if score is None or score["value"] is None:
        return ""
    margin = score["margin_95"]
    return f"{score['value']:{form}}" + ("" if margin is None else f" ± {margin:.1g}")


def read(path: Path) -> dict[str, Any]:
    """A JSON object of a file, empty if there is no file."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n")
