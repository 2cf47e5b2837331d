"""The models of the shared server, in this process."""

import pytest

from jaxgen.inference.model import Model


@pytest.fixture(scope="module")
def loaded(shelf):
    """loaded(name): that model, in this process."""
    models = {name: Model.open(shelf / f"{name}.onnx") for name in ("classes", "vae", "plane")}
    return models.__getitem__
