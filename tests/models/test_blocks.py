import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from jaxgen.models.blocks import (
    Attention,
    GroupNorm,
    ResidualBlock,
    Upsample,
    conv3x3,
    from_patches,
    sinusoids,
    to_patches,
)

FLOAT32 = jnp.dtype("float32")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def to_torch(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def from_torch(x: torch.Tensor) -> np.ndarray:
    return np.moveaxis(x.detach().numpy(), 1, -1)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_patches_are_those_of_pytorch_and_go_back(side):
    x = normal(2, 6, 12, 3)
    patches = to_patches(jnp.asarray(x), side)
    want = torch.nn.functional.pixel_unshuffle(to_torch(x), side)
    assert np.array_equal(patches, from_torch(want)) and np.array_equal(from_patches(patches, side), x)


def test_sinusoids_follow_the_formula():
    t, features = np.array([0.0, 1, 7, 999]), 8
    rates = [10_000 ** (-i / 3) for i in range(4)]
    want = [[math.sin(x * r) for r in rates] + [math.cos(x * r) for r in rates] for x in t]
    assert np.allclose(sinusoids(jnp.asarray(t), features), want, atol=1e-4)  # float32 angles of up to 999


def test_sinusoids_of_two_features_are_sine_and_cosine_of_the_time():
    assert np.allclose(sinusoids(jnp.array([3]), 2), [[math.sin(3), math.cos(3)]], atol=1e-6)


@pytest.mark.parametrize(("offset", "spread"), [(0, 1), (5, 0.1), (-300, 1), (0, 1000)])
def test_group_norm_agrees_with_torch(offset, spread):
    x, scale, bias = offset + spread * normal(3, 5, 4, 12), normal(12, seed=1), normal(12, seed=2)
    ours = GroupNorm(12, 3, dtype=FLOAT32)
    ours.scale[...], ours.bias[...] = scale, bias
    theirs = torch.nn.GroupNorm(3, 12)  # epsilon 1e-5 by default
    theirs.weight.data, theirs.bias.data = torch.from_numpy(scale), torch.from_numpy(bias)
    want = from_torch(theirs(to_torch(x)))
    assert np.abs(np.asarray(ours(jnp.asarray(x))) - want).max() < 2e-5 + 2e-6 * abs(offset / spread)


@pytest.mark.parametrize("value", [0, 1, -1, 0.1, 100])
def test_group_norm_of_a_constant_image_is_its_bias(value):
    norm = GroupNorm(8, 2, dtype=FLOAT32)
    norm.bias[...] = np.arange(8, dtype=np.float32)
    out = jax.jit(lambda x: norm(x))(jnp.full((2, 7, 7, 8), value, jnp.float32))
    # 1 / sqrt(epsilon) = 316 times the rounding of the mean remains of it, as in torch
    assert np.abs(np.asarray(out) - np.arange(8)).max() <= 1e-6 + 316 * abs(value) * 2**-20


def test_group_norm_of_bfloat16_computes_its_statistics_in_float32():
    x = (100 + normal(2, 16, 16, 8)).astype(jnp.bfloat16)
    out = GroupNorm(8, 2, dtype=jnp.dtype("bfloat16"))(jnp.asarray(x))
    want = from_torch(torch.nn.GroupNorm(2, 8)(to_torch(x.astype(np.float32))))
    assert out.dtype == jnp.bfloat16
    assert np.abs(np.asarray(out, np.float32) - want).max() < 0.02  # of values up to 4, rounded to 8 bits


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_agrees_with_torch(heads):
    x, width = normal(2, 3, 5, 8), 8
    ours = Attention(width, heads=heads, groups=2, dtype=FLOAT32, rngs=nnx.Rngs(0))
    ours.out.kernel[...] = normal(width, width, seed=3)
    ours.qkv.bias[...] = normal(3 * width, seed=4)
    normed = torch.nn.functional.group_norm(to_torch(x), 2).flatten(2).transpose(1, 2)  # [B, HW, C]
    qkv = normed @ torch.tensor(np.asarray(ours.qkv.kernel[...])) + torch.tensor(np.asarray(ours.qkv.bias[...]))
    q, k, v = (part.reshape(2, 15, heads, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    attended = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 15, width)
    want = x + (attended @ torch.tensor(np.asarray(ours.out.kernel[...]))).reshape(x.shape).numpy()
    assert np.abs(np.asarray(ours(jnp.asarray(x))) - want).max() < 1e-5


@pytest.mark.parametrize(("size", "stride"), [(8, 1), (8, 2), (7, 2)])
def test_convolution_agrees_with_torch_whatever_the_stride(size, stride):
    x = normal(2, size, size, 3)
    ours = conv3x3(3, 4, stride=stride, dtype=FLOAT32, rngs=nnx.Rngs(0))
    weight = torch.tensor(np.asarray(ours.kernel[...]).transpose(3, 2, 0, 1))
    want = from_torch(torch.nn.functional.conv2d(to_torch(x), weight, stride=stride, padding=1))
    assert np.abs(np.asarray(ours(jnp.asarray(x))) - want).max() < 1e-5


def test_upsample_repeats_pixels_before_its_convolution():
    x = normal(1, 4, 4, 2)
    ours = Upsample(2, 3, dtype=FLOAT32, rngs=nnx.Rngs(0))
    weight = torch.tensor(np.asarray(ours.conv.kernel[...]).transpose(3, 2, 0, 1))
    larger = torch.nn.functional.interpolate(to_torch(x), scale_factor=2, mode="nearest")
    want = from_torch(torch.nn.functional.conv2d(larger, weight, padding=1))
    assert np.abs(np.asarray(ours(jnp.asarray(x))) - want).max() < 1e-5


def block(dropout: float = 0.0, outputs: int = 4) -> ResidualBlock:
    made = ResidualBlock(4, outputs, 6, groups=2, heads=0, dropout=dropout, dtype=FLOAT32, rngs=nnx.Rngs(0))
    made.conv2.kernel[...] = normal(3, 3, outputs, outputs)
    return made


def test_new_residual_block_is_its_skip_connection():
    made = ResidualBlock(4, 4, 6, groups=2, heads=2, dropout=0.0, dtype=FLOAT32, rngs=nnx.Rngs(0))
    x = jnp.asarray(normal(2, 8, 8, 4))
    assert jnp.array_equal(made(x, jnp.ones((2, 6))), x)


def test_residual_block_agrees_with_torch():
    made, x, embedding = block(outputs=6), normal(2, 5, 5, 4), normal(2, 6, seed=5)
    functional = torch.nn.functional

    def weight(conv: nnx.Conv) -> torch.Tensor:
        return torch.tensor(np.asarray(conv.kernel[...]).transpose(3, 2, 0, 1))

    h = functional.conv2d(functional.silu(functional.group_norm(to_torch(x), 2)), weight(made.conv1), padding=1)
    h = h + (torch.tensor(embedding) @ torch.tensor(np.asarray(made.embed.kernel[...])))[:, :, None, None]
    h = functional.conv2d(functional.silu(functional.group_norm(h, 2)), weight(made.conv2), padding=1)
    want = from_torch(h + functional.conv2d(to_torch(x), weight(made.skip)))
    assert np.abs(np.asarray(made(jnp.asarray(x), jnp.asarray(embedding))) - want).max() < 1e-4


def test_dropout_is_on_with_a_key_and_off_without():
    made, x, embedding = block(dropout=0.5), jnp.asarray(normal(2, 8, 8, 4)), jnp.ones((2, 6))
    plain = made(x, embedding)
    assert jnp.array_equal(plain, block()(x, embedding))
    one, again, other = (made(x, embedding, key=jax.random.key(seed)) for seed in (1, 1, 2))
    assert jnp.array_equal(one, again)
    assert not jnp.allclose(one, plain) and not jnp.allclose(one, other)


def test_dropout_drops_its_share_and_keeps_the_mean():
    made = block(dropout=0.25)
    made.conv2.kernel[...] = np.eye(4, dtype=np.float32)[None, None] * (np.arange(9).reshape(3, 3, 1, 1) == 4)
    x, embedding = jnp.asarray(normal(64, 8, 8, 4)), jnp.ones((64, 6))
    before = made(x, embedding) - x  # what goes into the dropout
    after = made(x, embedding, key=jax.random.key(0)) - x
    dropped = np.isclose(after, 0, atol=1e-6)
    assert abs(dropped.mean() - 0.25) < 0.02
    assert np.allclose(np.asarray(after)[~dropped], np.asarray(before)[~dropped] / 0.75, atol=1e-4)
