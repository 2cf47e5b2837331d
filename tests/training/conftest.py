"""Runs that several modules look at, and what may be said about two of them."""

import json
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxgen import config as configs
from jaxgen.config import Config
from jaxgen.errors import Interrupted
from jaxgen.training.run_logger import RunLogger
from jaxgen.training.trainer import train


@pytest.fixture(scope="session")
def eventful(small) -> Config:
    """The small run with all that could go wrong when it is resumed: noise in labels and units, changing rates."""
    settings = ["model.classes=10", "model.dropout=0.1", "training.warmup=2", "training.lr_schedule=cosine"]
    return configs.override(small, [*settings, "training.ema=0.9"])


@pytest.fixture(scope="session")
def straight(eventful, tmp_path_factory) -> Path:
    """That run, never stopped."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    train(eventful, folder)
    return folder


@pytest.fixture(scope="session")
def stopped_once(eventful, tmp_path_factory, sigterm_at) -> Path:
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with sigterm_at(4), pytest.raises(Interrupted, match="saved at step 4"):
        train(eventful, folder)
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path) -> Path:
    """That run, stopped by a signal after its fourth step, between two checkpoints: a copy."""
    return shutil.copytree(stopped_once, tmp_path / "run")


@pytest.fixture(scope="session")
def sigterm_at():
    """sigterm_at(step): a block in which SIGTERM comes while the metrics of the call that begins there are written."""

    @contextmanager
    def block(step: int) -> Iterator[None]:
        steps = RunLogger.steps

        def reported(self: RunLogger, first: int, metrics: Mapping[str, np.ndarray]) -> None:
            steps(self, first, metrics)
            if first == step:
                handler = signal.getsignal(signal.SIGTERM)
                assert callable(handler), f"nobody handles SIGTERM: {handler}"
                handler(signal.SIGTERM, None)  # tests/training/test_signals.py sends real ones

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunLogger, "steps", reported)
            yield

    return block


@pytest.fixture(scope="session")
def state_in():
    """state_in(run, step) -> {name: array} of a checkpoint, read by Orbax alone."""

    def read(run: Path, step: int) -> dict[str, np.ndarray]:
        with ocp.StandardCheckpointer() as reader:
            tree = reader.restore((run / "checkpoints" / f"{step:08d}" / "state").absolute())
        return flatten(tree)

    return read


def flatten(tree: object, prefix: str = "") -> dict[str, np.ndarray]:
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list | tuple):
        items = list(enumerate(tree))
    else:
        return {} if tree is None else {prefix: np.asarray(tree)}
    return {name: leaf for key, value in items for name, leaf in flatten(value, f"{prefix}/{key}").items()}


@pytest.fixture(scope="session")
def metrics_of():
    """metrics_of(run) -> the lines of metrics.jsonl without what depends on the clock."""

    def read(run: Path) -> list[dict[str, float]]:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]

    return read


@pytest.fixture(scope="session")
def assert_same_state(state_in):
    """assert_same_state(run, other, step): every array of two checkpoints agrees bit for bit."""

    def check(run: Path, other: Path, step: int) -> None:
        one, two = state_in(run, step), state_in(other, step)
        assert one.keys() == two.keys() and len(one) > 20
        assert any("/optimizer/" in name for name in one) and any("/ema/" in name for name in one)
        assert [name for name in one if one[name].tobytes() != two[name].tobytes()] == []

    return check
