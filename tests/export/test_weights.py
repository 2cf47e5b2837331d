import hashlib

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from jaxgen.config import Config, UNetConfig
from jaxgen.errors import JaxgenError
from jaxgen.models import network
from jaxgen_export import twins, weights

CONFIG = Config(model=UNetConfig(channels=8, blocks=1, attention=(4,), heads=2, groups=4, classes=3))
NAMES = ("conv_in.kernel", "time1.kernel", "norm_out.scale", "label.embedding", "conv_out.bias")


@pytest.fixture(scope="module")
def params():
    fresh, rng = network.build(CONFIG).init(jax.random.key(0)), np.random.default_rng(1)
    return {name: rng.standard_normal(value.shape).astype(np.float32) for name, value in fresh.items()}


@pytest.fixture
def twin():
    return twins.build(CONFIG)


def test_names_cross_one_to_one(params, twin):
    crossed = [weights.torch_name(name) for name in params]
    assert sorted(crossed) == sorted(twin.state_dict())  # PyTorch's own list


def test_weights_that_cross_both_ways_are_bit_equal(params, twin):
    weights.load_into(twin, params)
    state = {name: value.numpy() for name, value in twin.state_dict().items()}
    back = weights.to_flax(state, {name: value.shape for name, value in params.items()})
    assert list(back) == list(params)
    for name, value in params.items():
        np.testing.assert_array_equal(back[name], value)


def test_convolution_kernel_keeps_its_meaning():
    kernel = np.zeros((3, 3, 2, 4), np.float32)  # height, width, in, out
    kernel[0, 2, 1, 3] = 5  # output 3 is five times input 1, from one pixel up and one to the right
    picture = np.random.default_rng(0).standard_normal((2, 6, 5)).astype(np.float32)  # in, height, width
    layout = torch.from_numpy(np.ascontiguousarray(weights.torch_layout("a.kernel", kernel)))
    found = F.conv2d(torch.from_numpy(picture)[None], layout, padding=1)[0].numpy()
    want = np.zeros((4, 6, 5), np.float32)
    want[3, 1:, :-1] = 5 * picture[1, :-1, 1:]
    np.testing.assert_array_equal(found, want)


def test_linear_kernel_keeps_its_meaning():
    kernel = np.array([[1, 2, 3], [4, 5, 6]], np.float32)  # in, out
    layout = torch.from_numpy(np.ascontiguousarray(weights.torch_layout("a.kernel", kernel)))
    assert F.linear(torch.tensor([1.0, 10.0]), layout).tolist() == [41, 52, 63]


def test_embedding_and_norm_keep_their_layout():
    value = np.arange(6.0).reshape(2, 3)
    assert weights.torch_layout("label.embedding", value) is value
    assert weights.torch_layout("norm.scale", value[0]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", NAMES)
def test_missing_tensor_is_named(params, twin, name):
    with pytest.raises(JaxgenError, match=f"1 missing, the first is '{name}'"):
        weights.load_into(twin, {key: value for key, value in params.items() if key != name})


# 'conv_in.scale' would be 'conv_in.weight' in PyTorch, as 'conv_in.kernel' is.
@pytest.mark.parametrize("name", ["conv_in.scale", "conv_in.gamma", "other.kernel", "lonely"])
def test_extra_tensor_is_named(params, twin, name):
    with pytest.raises(JaxgenError, match=f"1 unexpected, the first is '{name}'"):
        weights.load_into(twin, params | {name: params["conv_in.kernel"]})


@pytest.mark.parametrize("name", NAMES)
def test_misshaped_tensor_is_named_with_both_shapes(params, twin, name):
    value = params[name]
    with pytest.raises(JaxgenError) as caught:
        weights.load_into(twin, params | {name: np.concatenate([value, value])})
    doubled = (2 * value.shape[0], *value.shape[1:])
    assert str(caught.value) == f"weights do not fit this config: {name!r} is {doubled}, expected {value.shape}"


def test_transposed_tensor_is_refused(params, twin):
    kernel = params["conv_in.kernel"]  # [3, 3, 1, 8]
    with pytest.raises(JaxgenError, match=r"'conv_in.kernel' is \(3, 3, 8, 1\), expected \(3, 3, 1, 8\)"):
        weights.load_into(twin, params | {"conv_in.kernel": kernel.transpose(0, 1, 3, 2)})


def test_to_flax_names_what_does_not_fit(params, twin):
    weights.load_into(twin, params)
    state = {name: value.numpy() for name, value in twin.state_dict().items()}
    like = {name: value.shape for name, value in params.items()}
    with pytest.raises(JaxgenError, match=r"1 unexpected, the first is 'x\.weight'"):
        weights.to_flax(state | {"x.weight": np.zeros(3)}, like)
    with pytest.raises(JaxgenError, match=r"1 missing, the first is 'x\.scale'"):
        weights.to_flax(state, like | {"x.scale": (3,)})
    with pytest.raises(JaxgenError, match=r"'time1.bias' is \(32,\), expected \(31,\)"):
        weights.to_flax(state, like | {"time1.bias": (31,)})


def test_hash_is_over_names_shapes_and_bytes_in_the_order_of_names():
    a, b = np.array([[1, 2]], np.float32), np.array([3], np.float32)
    want = hashlib.sha256(b"a[1, 2]" + a.tobytes() + b"b[1]" + b.tobytes()).hexdigest()
    assert weights.weights_hash({"b": b, "a": a}) == weights.weights_hash({"a": a, "b": b}) == want
    different = [{"a": a, "b": b + 1}, {"a": a, "c": b}, {"a": a.T, "b": b}, {"a": a}]
    assert len({want, *map(weights.weights_hash, different)}) == 5
