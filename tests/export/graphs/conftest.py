"""A model's file in onnxruntime, for the tests that ask it alone, and as another tool changed it."""

import onnx
import pytest
import runtimes


@pytest.fixture(scope="module")
def session(model):
    return runtimes.session(model.onnx)


@pytest.fixture
def changed(tmp_path):
    """changed(path, change): a copy whose graph another tool changed, its metadata kept."""

    def make(source, change):
        model, path = onnx.load(source), tmp_path / "changed.onnx"
        change(model)
        path.write_bytes(model.SerializeToString())
        return path

    return make
