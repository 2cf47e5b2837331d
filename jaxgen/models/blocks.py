"""Building blocks of the networks, in Flax NNX; images are [B, H, W, C], embeddings [B, E]."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

ZEROS = nnx.initializers.zeros


def time_frequencies(features: int) -> np.ndarray:
    """[features / 2] float32, from 1 down to 1e-4 in geometric steps (Vaswani et al. 2017, section 3.5)."""
    return np.exp(-np.log(1e4) * np.arange(features // 2) / max(features // 2 - 1, 1)).astype(np.float32)


def sinusoids(t: Array, features: int) -> Array:
    """t: [B] -> [B, features] float32, sines then cosines."""
    angles = t.astype(jnp.float32)[:, None] * time_frequencies(features)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class GroupNorm(nnx.Module):
    """Group normalisation (Wu & He 2018) with statistics in float32.

    It reduces over space first, then over a group's channels, and applies one scale and shift: on CPU this makes a
    training step a tenth faster than flax's own. Deviations are squared after centring, because E[x^2] - E[x]^2 loses
    all precision on constant images.
    """

    def __init__(self, channels: int, groups: int, *, dtype: jnp.dtype) -> None:
        self.groups = groups
        self.dtype = dtype
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Array) -> Array:
        wide = x.astype(jnp.float32)
        mean = self._over_group(wide.mean((1, 2)))  # [B, C]
        variance = self._over_group(jnp.square(wide - mean[:, None, None]).mean((1, 2)))
        scale = self.scale[...] * jax.lax.rsqrt(variance + 1e-5)
        shift = self.bias[...] - mean * scale
        return (wide * scale[:, None, None] + shift[:, None, None]).astype(self.dtype)

    def _over_group(self, channels: Array) -> Array:
        """Mean over each group's channels, repeated for every channel: [B, C] -> [B, C]."""
        grouped = channels.reshape(channels.shape[0], self.groups, -1)
        return jnp.broadcast_to(grouped.mean(-1, keepdims=True), grouped.shape).reshape(channels.shape)


def conv3x3(
    inputs: int, outputs: int, *, stride: int = 1, zero: bool = False, dtype: jnp.dtype, rngs: nnx.Rngs
) -> nnx.Conv:
    """A 3x3 convolution, padded by one on each side for any stride, as in torch; zero: initialise the kernel to 0."""
    init: dict[str, Any] = {"kernel_init": ZEROS} if zero else {}
    return nnx.Conv(inputs, outputs, (3, 3), strides=stride, padding=((1, 1), (1, 1)), dtype=dtype, rngs=rngs, **init)


@jax.custom_vjp
def conv2x2(x: Array, kernel: Array) -> Array:
    """Convolve with stride 1 and no padding: [B, H, W, C] with [2, 2, C, O] -> [B, H - 1, W - 1, O].

    The weights' gradient is a matrix product, because XLA's CPU backend takes three to five times as long for it as for
    the input's gradient.
    """
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _conv2x2_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return conv2x2(x, kernel), (x, kernel)


def _conv2x2_backward(inputs: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = inputs
    _, back = jax.vjp(lambda x: conv2x2.fun(x, kernel), x)
    h, w = gradient.shape[1:3]
    wide = gradient.reshape(-1, gradient.shape[-1])  # [B H W, O]
    corners = [x[:, i : i + h, j : j + w].reshape(len(wide), -1).T @ wide for i in (0, 1) for j in (0, 1)]
    return *back(gradient), jnp.stack(corners).reshape(kernel.shape)


conv2x2.defvjp(_conv2x2_forward, _conv2x2_backward)


def conv4x4(inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.Conv:
    """A 4x4 convolution to half the size."""
    return nnx.Conv(inputs, outputs, (4, 4), strides=2, padding=((1, 1), (1, 1)), dtype=dtype, rngs=rngs)


def to_patches(x: Array, side: int) -> Array:
    """Each square of pixels as one pixel: [B, H, W, C] -> [B, H / side, W / side, C * side^2], in PyTorch's order."""
    b, h, w, c = x.shape
    squares = x.reshape(b, h // side, side, w // side, side, c)
    return squares.transpose(0, 1, 3, 5, 2, 4).reshape(b, h // side, w // side, c * side**2)


def from_patches(x: Array, side: int) -> Array:
    """The inverse of `to_patches`."""
    b, h, w, c = x.shape
    squares = x.reshape(b, h, w, c // side**2, side, side)
    return squares.transpose(0, 1, 4, 2, 5, 3).reshape(b, h * side, w * side, c // side**2)


class Doubling(nnx.Module):
    """A transposed convolution to twice the size, with kernel 4, stride 2 and torch's padding 1.

    The kernel is flax's: y[2u + p] is the sum over m of x[u - 1 + p + m] kernel[p + 2m]; torch rotates the kernel by
    180 degrees. It is computed as a 2x2 convolution to four neighbours at once, because XLA's CPU backend computes
    gradients at stride 1 ten times faster than those of a dilated input (experiments/gan-mnist).
    """

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (4, 4, inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))
        self.dtype = dtype

    def __call__(self, x: Array) -> Array:
        b, h, w, c = x.shape
        padded = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernel = self.kernel[...].astype(self.dtype)
        outputs = kernel.shape[-1]
        phases = kernel.reshape(2, 2, 2, 2, c, outputs).transpose(0, 2, 4, 1, 3, 5)  # [m, n, C, p, q, O]
        turned = phases[:, :, :, ::-1, ::-1].reshape(2, 2, c, 4 * outputs)
        out = conv2x2(padded, turned).reshape(b, h + 1, w + 1, 2, 2, outputs)
        whole = out.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h + 2, 2 * w + 2, outputs)
        return whole[:, 1:-1, 1:-1] + self.bias[...].astype(self.dtype)


class Transposed3x3(nnx.Module):
    """A transposed convolution at the same size, with kernel 3, stride 1 and torch's padding 1.

    The kernel is flax's, as in `Doubling`. Each pixel adds its nine products to its neighbours. With few output
    channels, as in a generator's last layer, this is one matrix product, and so are its gradients.
    """

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (3, 3, inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))
        self.dtype = dtype

    def __call__(self, x: Array) -> Array:
        b, h, w, c = x.shape
        kernel = self.kernel[...].astype(self.dtype)
        outputs = kernel.shape[-1]
        stamps = kernel.transpose(0, 1, 3, 2).reshape(-1, c) @ x.astype(self.dtype).reshape(-1, c).T  # [9 O, B H W]
        placed = jnp.pad(stamps.reshape(3, 3, outputs, b, h, w), ((0, 0),) * 4 + ((1, 1), (1, 1)))
        out = sum(placed[m, n, :, :, m : m + h, n : n + w] for m in range(3) for n in range(3))
        return jnp.moveaxis(out, 0, -1) + self.bias[...].astype(self.dtype)


def flat_map(x: Array) -> Array:
    """[B, H, W, C] -> [B, C * H * W], in PyTorch's order, so that the next linear layer exports unchanged."""
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def map_of(x: Array, shape: tuple[int, int, int]) -> Array:
    """The inverse of `flat_map`; shape: (H, W, C)."""
    h, w, c = shape
    return x.reshape(-1, c, h, w).transpose(0, 2, 3, 1)


class BatchNorm(nnx.BatchNorm):
    """Batch normalisation (Ioffe & Szegedy 2015); the running statistics are the weights `mean` and `var`."""

    def __init__(self, channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        super().__init__(channels, momentum=0.9, epsilon=1e-5, use_fast_variance=False, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, *, train: bool = False) -> Array:  # type: ignore[override]
        return super().__call__(x, use_running_average=not train)


class Attention(nnx.Module):
    """Multi-head self-attention over all pixels, with its norm and residual."""

    def __init__(self, channels: int, *, heads: int, groups: int, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.norm = GroupNorm(channels, groups, dtype=dtype)
        self.qkv = nnx.Linear(channels, 3 * channels, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(channels, channels, kernel_init=ZEROS, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        b, h, w, c = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, h * w, 3, self.heads, c // self.heads)
        attended = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])  # [B, HW, heads, C / heads]
        return x + self.out(attended.reshape(b, h, w, c))


class ResidualBlock(nnx.Module):
    """Norm, SiLU and convolution, twice, with the embedding in between; then optional attention (Ho et al. 2020)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        *,
        groups: int,
        heads: int,
        dropout: float,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ) -> None:
        """heads: of the attention that follows; 0: none."""
        self.norm1 = GroupNorm(inputs, groups, dtype=dtype)
        self.conv1 = conv3x3(inputs, outputs, dtype=dtype, rngs=rngs)
        self.embed = nnx.Linear(embedding, outputs, dtype=dtype, rngs=rngs)
        self.norm2 = GroupNorm(outputs, groups, dtype=dtype)
        self.dropout = nnx.Dropout(dropout)
        self.conv2 = conv3x3(outputs, outputs, zero=True, dtype=dtype, rngs=rngs)
        self.skip = nnx.Conv(inputs, outputs, (1, 1), dtype=dtype, rngs=rngs) if inputs != outputs else None
        self.attention = Attention(outputs, heads=heads, groups=groups, dtype=dtype, rngs=rngs) if heads else None

    def __call__(self, x: Array, embedding: Array, *, key: Array | None = None) -> Array:
        """embedding: [B, E]; key: of the dropout, None when sampling."""
        h = self.conv1(nnx.silu(self.norm1(x)))
        h = h + self.embed(embedding)[:, None, None]
        h = nnx.silu(self.norm2(h))
        h = self.conv2(self.dropout(h, deterministic=key is None, rngs=key))
        h = h + (x if self.skip is None else self.skip(x))
        return h if self.attention is None else self.attention(h)


class Upsample(nnx.Module):
    """Nearest-neighbour upsampling to twice the size, then a convolution."""

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.conv = conv3x3(inputs, outputs, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.conv(x.repeat(2, axis=1).repeat(2, axis=2))
