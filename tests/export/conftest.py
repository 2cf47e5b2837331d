"""A model's file as another tool changed it."""

import onnx
import pytest


@pytest.fixture
def changed(tmp_path):
    """changed(path, change): a copy whose graph another tool changed, its metadata kept."""

    def make(source, change):
        model, path = onnx.load(source), tmp_path / "changed.onnx"
        change(model)
        path.write_bytes(model.SerializeToString())
        return path

    return make
