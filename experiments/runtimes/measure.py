"""A library on a model file: an environment of its own, a process of its own, and turns with the usual runtime."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from jaxgen.inference.defaults import required
from jaxgen.inference.model import Model
from jaxgen.inference.verify import compare_images
from jaxgen.sampling.prng import image_noise

HERE = Path(__file__).parent
COUNT, STEPS, TURNS = 16, 10, 7
SECONDS = 600  # that loading, or a run, may take
NEWEST, NUMPY = "onnxruntime==1.31.1", "numpy==2.4.6"
ERROR = 110  # characters of one
EXPORTED, REQUIRED, FED = "as exported", "inputs required", "inputs required, noise fed"


class Failed(Exception):
    """Of a library, a tool or an installation, in its own words."""


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    worker: str  # of worker.py, or the npm package
    packages: tuple[str, ...]  # the first one's version is the row's
    inputs: str = EXPORTED
    tool: str | None = None  # of rewrite.py: what is run is the file that it makes

    @property
    def version(self) -> str:
        return re.split("==|@", self.packages[0])[-1]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What came of one row on one kind of file."""

    identical: float | None = None  # share of pixels; None: it failed
    off_by: int = 0
    speed: float = 0.0  # 2: twice as fast
    error: str = ""
    lost: str = ""  # inputs with a default that a tool has taken away
    unsteady: bool = False  # whether the second run gives other images than the first, which is the one that counts


USUAL = Row(name="onnxruntime", worker="onnxruntime", packages=(NEWEST, NUMPY))


class Worker:
    """A process that has loaded a file in a library, sampled once, and does it again when it is asked."""

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        """Raises Failed, with what the library says."""
        self._process = subprocess.Popen(
            [*map(str, command)], cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.unsteady = self._answer("ready|unsteady") == "unsteady"

    def seconds(self) -> float:
        """Of one run."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._answer(r"[\d.e-]+"))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self, wanted: str) -> str:
        """The next line that is one; libraries print others."""
        assert self._process.stdout
        late = threading.Timer(SECONDS, self._process.kill)
        late.start()
        try:
            for line in self._process.stdout:
                if line.startswith("error "):
                    raise Failed(line.removeprefix("error "))
                if re.fullmatch(wanted, line.strip()):
                    return line.strip()
        finally:
            late.cancel()
        raise Failed(f"no answer in {SECONDS} s, or it crashes")


class Environments:
    """Venvs and npm folders, made when they are first needed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.command = cache(self._command)

    def _command(self, packages: tuple[str, ...]) -> tuple[Path | str, Path]:
        """What runs a worker where these packages are, and the folder to run it in. Raises Failed."""
        folder = self._folder / f"environment{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        if "@" in packages[0]:
            _run(["npm", "install", "--silent", "--ignore-scripts", *packages], folder)
            return "node", folder
        python = folder / "bin" / "python"
        _run([sys.executable, "-m", "venv", folder], folder)
        _run([python, "-m", "pip", "install", "--quiet", *packages], folder)
        return python, folder


def _run(command: Sequence[str | Path], folder: Path) -> None:
    """Raises Failed with the command's last words, or what a worker says of an error."""
    done = subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        told = [line.removeprefix("error ") for line in done.stdout.splitlines() if line.startswith("error ")]
        raise Failed((told or (done.stderr or done.stdout).strip().splitlines() or ["it crashes"])[-1])


class Subject:
    """A model file, what it is asked for, and the newest onnxruntime on it, which others take turns with."""

    def __init__(self, kind: str, path: Path, environments: Environments, folder: Path) -> None:
        self.kind, self.path = kind, path.resolve()
        self._environments, self._folder = environments, folder / kind
        self._folder.mkdir()
        self._required = self._folder / "required.onnx"
        data, self._defaults, _ = required(path.read_bytes())
        self._required.write_bytes(data)
        self._write_feeds(Model.open(path), self._defaults)
        self._usual = self._worker(USUAL, self.path)
        self.want = self._images()

    def cell(self, row: Row) -> Cell:
        """One row on this file, in turns with the usual runtime."""
        worker, lost = None, ""
        try:
            path = self._rewritten(row) if row.tool else self.path
            lost = ", ".join(self._defaults.keys() - required(path.read_bytes()).defaults.keys())
            worker = self._worker(row, path)
            images = self._images()
            turns = [(self._usual.seconds(), worker.seconds()) for _ in range(TURNS)]
            if images.shape != self.want.shape:
                raise Failed("it gives images of another size")
        except (Failed, subprocess.TimeoutExpired) as err:
            return Cell(error=shortened(str(err)), lost=lost)
        finally:
            if worker:
                worker.close()
        speed = statistics.median(usual / own for usual, own in turns)
        compared = compare_images(images, self.want)
        return Cell(**compared, speed=speed, lost=lost, unsteady=worker.unsteady)

    def close(self) -> None:
        self._usual.close()

    def _images(self) -> np.ndarray:
        """What the worker wrote that was started last."""
        return np.fromfile(self._folder / "images", np.uint8)

    def _worker(self, row: Row, path: Path) -> Worker:
        program, folder = self._environments.command(USUAL.packages if row.tool else row.packages)
        name, ending = ("worker.mjs", "json") if program == "node" else ("worker.py", "npz")
        path = path if row.inputs == EXPORTED else self._required
        feeds = self._folder / f"{row.inputs}.{ending}"
        return Worker([program, HERE / name, row.worker, path, feeds, self._folder / "images"], folder)

    def _rewritten(self, row: Row) -> Path:
        program, folder = self._environments.command(row.packages)
        out = self._folder / f"{row.tool}.onnx"
        _run([program, HERE / "rewrite.py", row.tool or "", self.path, out], folder)
        return out

    def _write_feeds(self, model: Model, defaults: dict[str, np.ndarray]) -> None:
        seed, index = np.full(COUNT, 3), np.arange(COUNT)
        label = index % len(model.classes) if model.classes else None
        by_plan = model.inference.process is not None
        plan = model.plan(sampler="ddim", steps=STEPS, eta=0.0) if by_plan else None
        exported = model.feeds(seed, index, label=label, plan=plan)
        noise = image_noise(seed, index, 0, model.noise_shape)
        fed = {"state": np.stack([noise, np.zeros_like(noise)])} if by_plan else {"latent": noise}
        for name, feeds in {EXPORTED: exported, REQUIRED: defaults | exported, FED: defaults | exported | fed}.items():
            np.savez(self._folder / f"{name}.npz", **feeds)
            as_json = {
                key: {"type": str(value.dtype), "dims": value.shape, "data": value.ravel().tolist()}
                for key, value in feeds.items()
            }
            (self._folder / f"{name}.json").write_text(json.dumps(as_json))


def shortened(text: str) -> str:
    """An error on one line of a table: no folders of this machine, no more than ERROR characters."""
    text = re.sub(r"(?:/[\w.+@-]+)+/([\w.+@-]+)", r"\1", " ".join(text.split()))
    text = text.replace("|", "/").replace("`", "'")
    return text if len(text) <= ERROR else f"{text[: ERROR - 3]}..."
