"""Models that an engine samples from, what it gives and counts, and a way to keep it busy."""

import contextlib
import threading
from pathlib import Path

import numpy as np

from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.metrics import Metrics
from jaxgen_serve.models.registry import ServedModel

SOON = 20  # seconds: what a busy machine may take for what takes a moment


def served(path: Path, name: str) -> ServedModel:
    data = path.read_bytes()
    model = Model.of(model_file.parse(data, name), threads=1)
    return ServedModel(name=name, model=model, encoder=None, path=path, size=len(data))


@contextlib.contextmanager
def held(engine: Engine):
    """Keep the worker busy inside the block, so that what is asked for waits."""
    begun, gate = threading.Event(), threading.Event()

    def work(left: float) -> None:
        begun.set()
        gate.wait(left)

    ticket = engine.call(work, deadline=60)
    assert begun.wait(SOON)
    try:
        yield
    finally:
        gate.set()
        ticket.result()


def calls(metrics: Metrics, most: int | None = None) -> int:
    """Calls of onnxruntime so far; with `most`, those of at most so many images."""
    if most is None:
        return int(metrics.registry.get_sample_value("jaxgen_batch_size_count"))
    return int(metrics.registry.get_sample_value("jaxgen_batch_size_bucket", {"le": f"{most}.0"}))


def alone(one: ServedModel, seed, index, **what):
    return one.model.sample(np.asarray(seed), np.asarray(index), **what)


def same(found, want) -> None:
    np.testing.assert_array_equal(found[0], want[0])
    if want[1] is not None:  # x itself may differ in its last bits from one batch size to another
        np.testing.assert_allclose(found[1], want[1], atol=1e-4)


def endless(one: ServedModel) -> np.ndarray:
    """A plan that would take minutes."""
    return np.repeat(one.model.plan(), 10_000, axis=0)
