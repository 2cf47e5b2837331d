import numpy as np
import pytest
import torch
from tiny import FAMILIES, UNCONDITIONAL, random_weights
from torch import nn

from jaxgen.config import DDPM, UNetConfig
from jaxgen.errors import JaxgenError
from jaxgen_export import torch_models, weight_mapping

CONFIG = DDPM(model=UNetConfig(channels=8, blocks=1, attention=(4,), heads=2, groups=4, classes=3))
NAMES = ("conv_in.kernel", "time1.kernel", "norm_out.scale", "label.embedding", "conv_out.bias")
EVERY = FAMILIES | {"ddpm": UNCONDITIONAL}


@pytest.fixture(scope="module")
def params():
    return random_weights(CONFIG)


@pytest.fixture
def twin():
    return torch_models.build(CONFIG)


def state_of(twin):
    return {name: value.numpy() for name, value in twin.state_dict().items()}


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_names_cross_one_to_one(config):
    twin = torch_models.build(config)
    assert list(weight_mapping.torch_state(twin, random_weights(config))) == list(
        twin.state_dict()
    )  # PyTorch's own list


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_weights_that_cross_both_ways_are_bit_equal(config):
    params, twin = random_weights(config), torch_models.build(config)
    weight_mapping.load_into(twin, params)
    back = weight_mapping.to_flax(state_of(twin), torch_models.build(config))
    assert back.keys() == params.keys()
    for name, value in params.items():
        assert back[name].dtype == np.float32 and back[name].flags.c_contiguous
        np.testing.assert_array_equal(back[name], value)


def crossed(layer, **tensors):
    """A PyTorch layer, filled with what Flax calls these names."""
    twin = torch_models.TorchModel()
    twin.add_module("layer", layer)
    weight_mapping.load_into(
        twin.eval(), {f"layer.{name}": np.asarray(value, np.float32) for name, value in tensors.items()}
    )
    return layer.requires_grad_(False)


def test_convolution_kernel_keeps_its_meaning():
    kernel = np.zeros((3, 3, 2, 4))  # height, width, in, out
    kernel[0, 2, 1, 3] = 5  # output 3 is five times input 1, from one pixel up and one to the right
    image = np.random.default_rng(0).standard_normal((2, 6, 5)).astype(np.float32)  # in, height, width
    layer = crossed(nn.Conv2d(2, 4, 3, padding=1), kernel=kernel, bias=np.zeros(4))
    want = np.zeros((4, 6, 5), np.float32)
    want[3, 1:, :-1] = 5 * image[1, :-1, 1:]
    np.testing.assert_array_equal(layer(torch.from_numpy(image)[None])[0], want)


def test_doubling_kernel_keeps_its_meaning():
    """y[2u + p] is the sum over m of x[u - 1 + p + m] kernel[p + 2m], in both directions (jaxgen.models.blocks)."""
    kernel = np.random.default_rng(0).standard_normal((4, 4, 2, 3))  # height, width, in, out
    image = np.random.default_rng(1).standard_normal((2, 3, 5))
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    want = np.zeros((3, 6, 10))
    for y, x in np.ndindex(6, 10):
        (u, p), (v, q) = divmod(y, 2), divmod(x, 2)
        for m, n in np.ndindex(2, 2):
            want[:, y, x] += padded[:, u + p + m, v + q + n] @ kernel[p + 2 * m, q + 2 * n]
    layer = crossed(nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1), kernel=kernel, bias=np.zeros(3))
    found = layer(torch.from_numpy(image.astype(np.float32))[None])[0]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


def test_transposed_kernel_at_the_same_size_is_turned():
    kernel = np.zeros((3, 3, 2, 1))
    kernel[0, 2, 1, 0] = 5  # Flax correlates: from one pixel up and one to the right
    image = np.random.default_rng(0).standard_normal((2, 4, 4)).astype(np.float32)
    layer = crossed(nn.ConvTranspose2d(2, 1, 3, padding=1), kernel=kernel, bias=np.zeros(1))
    want = np.zeros((1, 4, 4), np.float32)
    want[0, 1:, :-1] = 5 * image[1, :-1, 1:]
    np.testing.assert_array_equal(layer(torch.from_numpy(image)[None])[0], want)


def test_linear_kernel_keeps_its_meaning():
    layer = crossed(nn.Linear(2, 3), kernel=[[1, 2, 3], [4, 5, 6]], bias=[0, 0, 0.5])  # in, out
    assert layer(torch.tensor([1.0, 10.0])).tolist() == [41, 52, 63.5]


def test_embedding_and_norms_keep_their_values():
    assert crossed(nn.Embedding(2, 3), embedding=np.arange(6).reshape(2, 3)).weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    norm = crossed(nn.GroupNorm(1, 2), scale=[1, 2], bias=[3, 4])
    assert (norm.weight.tolist(), norm.bias.tolist()) == ([1, 2], [3, 4])
    norm = crossed(nn.BatchNorm2d(1), scale=[2], bias=[3], mean=[4], var=[25])
    np.testing.assert_allclose(norm(torch.full((1, 1, 1, 1), 9.0)).item(), (9 - 4) / 5 * 2 + 3, rtol=1e-5)


def test_counters_of_norms_are_written_as_0_and_not_read():
    config = FAMILIES["gan"]
    params, twin = random_weights(config), torch_models.build(config)
    counter = "generator.norms.0.num_batches_tracked"
    state = weight_mapping.torch_state(twin, params)
    assert state[counter].item() == 0 and state[counter].dtype == torch.int64
    numbers = {name: value.numpy() for name, value in state.items()}
    for changed in (numbers | {counter: np.array(7)}, {n: v for n, v in numbers.items() if n != counter}):
        back = weight_mapping.to_flax(changed, twin)
        assert all(np.array_equal(back[name], value) for name, value in params.items())


def test_gans_generator_crosses_alone():
    config = FAMILIES["gan"]
    params, twin = random_weights(config), torch_models.build(config)
    half = {name: value for name, value in params.items() if name.startswith("generator.")}
    state = weight_mapping.torch_state(twin, half)
    assert list(state) == [name for name in twin.state_dict() if name.startswith("generator.")]
    back = weight_mapping.to_flax({name: value.numpy() for name, value in state.items()}, twin)
    assert back.keys() == half.keys()
    with pytest.raises(JaxgenError, match=r"missing \('discriminator\.label\.embedding'"):
        weight_mapping.load_into(twin, half | {"discriminator.out.bias": params["discriminator.out.bias"]})
    with pytest.raises(JaxgenError, match=r"missing \('generator\."):
        weight_mapping.load_into(twin, {name: value for name, value in params.items() if name not in half})


@pytest.mark.parametrize("name", NAMES)
def test_missing_tensor_is_named(params, twin, name):
    with pytest.raises(JaxgenError, match=rf"1 missing \('{name}'"):
        weight_mapping.load_into(twin, {key: value for key, value in params.items() if key != name})


# 'conv_in.scale' would be 'conv_in.weight' in PyTorch, as 'conv_in.kernel' is.
@pytest.mark.parametrize("name", ["conv_in.scale", "conv_in.gamma", "other.kernel", "lonely"])
def test_extra_tensor_is_named(params, twin, name):
    with pytest.raises(JaxgenError, match=rf"1 unexpected \('{name}'"):
        weight_mapping.load_into(twin, params | {name: params["conv_in.kernel"]})


@pytest.mark.parametrize("name", NAMES)
def test_misshaped_tensor_is_named_with_both_shapes(params, twin, name):
    value = params[name]
    with pytest.raises(JaxgenError) as caught:
        weight_mapping.load_into(twin, params | {name: np.concatenate([value, value])})
    doubled = (2 * value.shape[0], *value.shape[1:])
    assert str(caught.value) == f"weights do not fit this config: {name!r} is {doubled}, expected {value.shape}"


def test_transposed_tensor_is_refused(params, twin):
    kernel = params["conv_in.kernel"]  # [3, 3, 1, 8]
    with pytest.raises(JaxgenError, match=r"'conv_in.kernel' is \(3, 3, 8, 1\), expected \(3, 3, 1, 8\)"):
        weight_mapping.load_into(twin, params | {"conv_in.kernel": kernel.transpose(0, 1, 3, 2)})


def test_to_flax_names_what_does_not_fit_as_pytorch_does(params, twin):
    weight_mapping.load_into(twin, params)
    state = state_of(twin)
    with pytest.raises(JaxgenError, match=r"1 unexpected \('x\.weight'"):
        weight_mapping.to_flax(state | {"x.weight": np.zeros(3)}, twin)
    with pytest.raises(JaxgenError, match=r"1 missing \('conv_in\.weight'"):
        weight_mapping.to_flax({name: value for name, value in state.items() if name != "conv_in.weight"}, twin)
    with pytest.raises(JaxgenError, match=r"'conv_in.weight' is \(3, 3, 1, 8\), expected \(8, 1, 3, 3\)"):
        weight_mapping.to_flax(state | {"conv_in.weight": params["conv_in.kernel"]}, twin)
