"""An engine, and models that it samples from."""

import pytest
from engines import served

from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.metrics import Metrics
from jaxgen_serve.models.registry import ServedModel


@pytest.fixture(scope="module")
def plain(unconditional) -> ServedModel:
    return served(unconditional.onnx, "plain")


@pytest.fixture(scope="module")
def classy(conditional) -> ServedModel:
    return served(conditional.onnx, "classy")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def engine(metrics):
    made = Engine(metrics=metrics)
    yield made
    made.close()
