"""Real servers on loopback, each a process of its own, and one in this process; model files of whoever means harm."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnx
from fastapi.testclient import TestClient
from onnx import TensorProto, helper

from jaxgen.images import png_pixels
from jaxgen.inference import model_file
from jaxgen_serve.app import create_app
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.metrics import Metrics
from jaxgen_serve.models.registry import Library
from jaxgen_serve.settings import Settings

INT64 = TensorProto.INT64
TOKEN = "open-sesame"


@dataclass(frozen=True, kw_only=True)
class Server:
    """One that answers."""

    url: str
    process: subprocess.Popen
    data: Path
    log: Path  # its stderr
    folder: Path | None = None  # of its models, where tests may change them
    token: str | None = None

    def client(self, **options) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **{"headers": headers, **options})

    def metric(self, name: str) -> float:
        """A counter or gauge without labels."""
        with self.client() as client:
            text = client.get("/metrics").text
        (value,) = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(value)

    def queue(self) -> float:
        return self.metric("jaxgen_queue_depth")


@contextmanager
def serving(*arguments: object, data: Path, **environment: str) -> Iterator[Server]:
    """A server with these arguments on a port that was free, until the block ends."""
    data.mkdir(parents=True, exist_ok=True)
    log = data / "server.log"
    command = [sys.executable, "-m", "jaxgen", "serve", "--port", "0", "--data", str(data), *map(str, arguments)]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env={**os.environ, **environment}
        )
    try:
        line = process.stdout.readline()  # nothing, if it ended
        found = re.search(r"http://\S+", line)
        assert found, f"{line!r}; stderr: {log.read_text()}"
        yield Server(url=found[0], process=process, data=data, log=log)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()


def forged(path: Path, *, proto=lambda model: None, manifest=lambda entries: None) -> bytes:
    """A model file, changed by these and stamped anew, as whoever means harm would do it."""
    changed = onnx.load_from_string(path.read_bytes())
    proto(changed)
    (entry,) = (entry for entry in changed.metadata_props if entry.key == "jaxgen")
    entries = json.loads(entry.value)
    manifest(entries)
    entry.value = model_file.dump_manifest(entries)
    return model_file.stamp(changed.SerializeToString())


def before_all(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Let the graph compute from "checked", which these nodes make of it, where it computed from "seed"."""
    for node in model.graph.node:
        node.input[:] = ["checked" if name == "seed" else name for name in node.input]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def constant(name: str, value: object) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.array(value)))


def loops_for_ever(model: onnx.ModelProto) -> None:
    words, flag, count = (
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (("x", INT64, ["N"]), ("on", TensorProto.BOOL, []), ("i", INT64, []))
    )
    outputs = [
        helper.make_tensor_value_info("on_after", TensorProto.BOOL, []),
        helper.make_tensor_value_info("x_after", INT64, ["N"]),
    ]
    nodes = [helper.make_node("Identity", ["on"], ["on_after"]), helper.make_node("Identity", ["x"], ["x_after"])]
    body = helper.make_graph(nodes, "body", [count, flag, words], outputs)
    before_all(model, constant("true", True), helper.make_node("Loop", ["", "true", "seed"], ["checked"], body=body))


def until(condition, seconds: float = 20.0) -> bool:
    """Whether it comes true in this time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def inside(settings: Settings, model: Path, port: int = 8000) -> TestClient:
    """A client of an application in this process."""
    app = create_app(settings, Library([model]), Engine(), Metrics())
    return TestClient(app, base_url=f"http://localhost:{port}")


def pixels(text: str) -> np.ndarray:
    """An image of an answer."""
    return png_pixels(base64.b64decode(text), "the answer")
