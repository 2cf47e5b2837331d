"""A model's file in onnxruntime, for the tests that ask it alone."""

import pytest
import runtimes


@pytest.fixture(scope="module")
def session(model):
    return runtimes.session(model.onnx)
