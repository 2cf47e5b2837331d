"""The exported graph in onnx's reference implementation, which is NumPy: what the operators say, whoever runs them."""

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from runtimes import assert_same, requests, session

# Two rows: one with noise, its index beyond 16 bits, and one that clips. x0 = x / 2 + out / 2, and so on.
PLAN = np.array([[9, 0.5, 0.5, 1, 0.5, 0.5, 0, 0.3, 70_000], [2, 0.7, 0.1, 0.8, 0.2, 0.6, 0.2, 0, 2]], np.float32)


def both(model, count, **inputs):
    """What the reference and onnxruntime give."""
    feeds = requests(model, count) | {name: np.asarray(one, np.float32) for name, one in inputs.items()}
    proto = onnx.load_from_string(model.onnx.read_bytes())
    return ReferenceEvaluator(proto).run(None, feeds), session(model.onnx).run(None, feeds)


@pytest.mark.parametrize("name", ["vae", "gan", "gan-unconditional"])
@pytest.mark.parametrize("given", [False, True])
def test_model_of_one_evaluation_samples_the_same(family, name, given):
    model = family(name)
    z = np.random.default_rng(0).standard_normal((4, *model.config.noise_shape))
    (found,), (want,) = both(model, 4, **({"latent": z} if given else {}))
    assert_same(found, want)
    assert want.std() > 10


@pytest.mark.parametrize("given", [False, True])
def test_loop_samples_the_same(model, given):
    state = np.random.default_rng(0).standard_normal((2, 3, *model.config.data.shape))
    inputs = {"plan": PLAN} | ({"state": state} if given else {}) | ({"guidance": 2} if model.classes else {})
    (found, found_state), (want, want_state) = both(model, 3, **inputs)
    np.testing.assert_allclose(found_state, want_state, rtol=0, atol=1e-5)
    assert_same(found, want)
