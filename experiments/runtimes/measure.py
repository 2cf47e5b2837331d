"""A library on a model file: what it gives, and how fast it is in turns with the usual runtime."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from environments import Environments, Failed, Worker, run, shortened

from jaxgen.inference import model_file, tensors
from jaxgen.inference.defaults import required
from jaxgen.inference.model import Model
from jaxgen.inference.network import Network
from jaxgen.inference.verify import compare_images, errors
from jaxgen.sampling.prng import image_noise

HERE = Path(__file__).parent
COUNT, STEPS = 16, 10
TURNS, TURN_SECONDS = 7, 15  # at most so many, for about so long
NEWEST, NUMPY = "onnxruntime==1.31.1", "numpy==2.4.6"
EXPORTED, REQUIRED, FED = "as exported", "inputs required", "inputs required, noise fed"
NETWORK = "network alone"
Feeds = Mapping[str, np.ndarray]


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
    """What came of one row on one kind of file; it failed if it has neither `identical` nor `relative`."""

    identical: float | None = None  # share of pixels
    off_by: int = 0
    relative: float | None = None  # of a network: largest difference over largest value
    speed: float = 0.0  # 2: twice as fast
    error: str = ""
    lost: str = ""  # inputs with a default that a tool has taken away
    unsteady: bool = False  # whether the second run gives another result than the first, which is the one that counts


USUAL = Row(name="onnxruntime", worker="onnxruntime", packages=(NEWEST, NUMPY))


class Subject:
    """A model or network file, what it is asked for, and the newest onnxruntime on it, which others take turns with."""

    def __init__(self, path: Path, environments: Environments, folder: Path, until: float) -> None:
        """folder: to be made; until: of time.monotonic(), when the newest onnxruntime must have run it."""
        folder.mkdir()
        self.path, self._environments, self._folder = path.resolve(), environments, folder
        artifact = model_file.read(path)
        data, self._defaults, _ = required(artifact.data)
        self._required = folder / "required.onnx"
        self._required.write_bytes(data)
        alone = artifact.inference.kind == "network"
        self.output = Network(artifact).output if alone else "images"
        for name, feeds in (_network_feeds(path) if alone else _feeds(Model.open(path), self._defaults)).items():
            self._write(name, feeds)
        self._usual = self._worker(replace(USUAL, inputs=NETWORK if alone else EXPORTED), self.path, until)
        self.want = self._result()

    def install(self, row: Row) -> None:
        """What `cell` would install otherwise, and count as the row's time. Raises Failed."""
        self._environments.command(row.packages)

    def cell(self, row: Row, until: float) -> Cell:
        """One row on this file, in turns with the usual runtime; until: when the row must be done."""
        worker, lost = None, ""
        try:
            path = self._rewritten(row, until) if row.tool else self.path
            if path.suffix == ".onnx":
                lost = ", ".join(sorted(self._defaults.keys() - _defaults(path)))
            worker = self._worker(row, path, until)
            result = self._result()
            turns = self._turns(worker, until)
            if result.shape != self.want.shape:
                raise Failed("it gives a result of another size")
        except Failed as err:
            return Cell(error=shortened(str(err)), lost=lost)
        finally:
            if worker:
                worker.close()
        speed = statistics.median(usual / own for usual, own in turns)
        return Cell(**self._compared(result), speed=speed, lost=lost, unsteady=worker.unsteady)

    def close(self) -> None:
        self._usual.close()

    def _turns(self, worker: Worker, until: float) -> list[tuple[float, float]]:
        """The seconds of the usual runtime and of the other."""
        turns: list[tuple[float, float]] = []
        begin = time.monotonic()
        while not turns or (len(turns) < TURNS and time.monotonic() < begin + TURN_SECONDS):
            turns.append((self._usual.seconds(until), worker.seconds(until)))
        return turns

    def _compared(self, result: np.ndarray) -> dict[str, Any]:
        if self.output == "images":
            return compare_images(result, self.want)
        return {"relative": errors(result, self.want)["relative"]}

    def _result(self) -> np.ndarray:
        """What the worker wrote that was started last."""
        return np.fromfile(self._folder / "result", np.uint8 if self.output == "images" else np.float32)

    def _worker(self, row: Row, path: Path, until: float) -> Worker:
        program, folder = self._environments.command(USUAL.packages if row.tool else row.packages)
        name, ending = ("worker.mjs", "json") if program == "node" else ("worker.py", "npz")
        path = path if row.inputs in (EXPORTED, NETWORK) else self._required
        feeds = self._folder / f"{row.inputs}.{ending}"
        command = [program, HERE / name, row.worker, path, feeds, self.output, self._folder / "result"]
        return Worker(command, folder, until)

    def _rewritten(self, row: Row, until: float) -> Path:
        program, folder = self._environments.command(row.packages)
        out = self._folder / f"{row.tool}.{'ort' if row.tool == 'ort' else 'onnx'}"
        run([program, HERE / "rewrite.py", row.tool or "", self.path, out], folder, until)
        return out

    def _write(self, name: str, feeds: Feeds) -> None:
        """In the order of the graph's inputs, which some libraries go by."""
        names = [value.name for value in onnx.load(self.path).graph.input if value.name in feeds]
        ordered = {key: np.asarray(feeds[key]) for key in names}
        np.savez(self._folder / f"{name}.npz", **ordered)
        as_json = {
            key: {"type": str(value.dtype), "dims": value.shape, "data": value.ravel().tolist()}
            for key, value in ordered.items()
        }
        (self._folder / f"{name}.json").write_text(json.dumps(as_json))


def _feeds(model: Model, defaults: Feeds) -> dict[str, Feeds]:
    """By the kind of inputs."""
    seed, index = np.full(COUNT, 3), np.arange(COUNT)
    label = index % len(model.classes) if model.classes else None
    by_plan = model.inference.process is not None
    plan = model.plan(sampler="ddim", steps=STEPS, eta=0.0) if by_plan else None
    exported = model.feeds(seed, index, label=label, plan=plan)
    noise = image_noise(seed, index, 0, model.noise_shape)
    fed = {"state": np.stack([noise, np.zeros_like(noise)])} if by_plan else {"latent": noise}
    return {EXPORTED: exported, REQUIRED: {**defaults, **exported}, FED: {**defaults, **exported, **fed}}


def _network_feeds(path: Path) -> dict[str, Feeds]:
    """Those of the certificate's probe, cut to the batch of a network that takes one size alone."""
    network = Network.open(path)
    held = network.artifact.value("certificate.probe.inputs", dict)
    batch = network.inference.batch
    return {NETWORK: {name: tensors.decode(held[name], name)[:batch] for name in network.inputs}}


def _defaults(path: Path) -> set[str]:
    """The inputs with a default of what a tool has made."""
    graph = onnx.load(path).graph
    return {value.name for value in graph.input} & {tensor.name for tensor in graph.initializer}
