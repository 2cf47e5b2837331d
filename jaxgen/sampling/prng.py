"""Noise as a function of (seed, image index, noise index): JAX's Threefry-2x32 and its normals, in NumPy.

Equal to `jax.random` with its default settings (threefry2x32, partitionable): bits exactly, normals within 2e-5.
All functions are vectorised over a batch of keys; a key is uint32 [..., 2].
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxgen.errors import UsageError

Array = np.ndarray
Integers = Any  # an int, or an array or nested sequence of them

# Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.3 and Table 1.
PARITY = 0x1BD11BDA
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))

# Giles 2010, "Approximating the erfinv function", Table 5 (single precision), highest power first.
ERFINV_CENTRAL = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
ERFINV_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def threefry2x32(key: Array, counts: Array) -> Array:
    """Encrypt each pair of `counts` under its key: 20 rounds of Threefry-2x32.

    key, counts: uint32 [..., 2], broadcast against each other. Returns uint32 [..., 2]. Source: Salmon et al. 2011.
    """
    key, counts = np.asarray(key, np.uint32), np.asarray(counts, np.uint32)
    k0, k1 = key[..., 0], key[..., 1]
    schedule = (k0, k1, k0 ^ k1 ^ np.uint32(PARITY))
    with np.errstate(over="ignore"):  # sums are modulo 2^32, of which NumPy warns for scalars
        x0, x1 = counts[..., 0] + k0, counts[..., 1] + k1
        for block in range(5):
            for rotation in ROTATIONS[block % 2]:
                x0 = x0 + x1
                x1 = (x1 << np.uint32(rotation) | x1 >> np.uint32(32 - rotation)) ^ x0
            x0 = x0 + schedule[(block + 1) % 3]
            x1 = x1 + schedule[(block + 2) % 3] + np.uint32(block + 1)
    return np.stack([x0, x1], axis=-1)


def key(seed: Integers) -> Array:
    """The key of a seed, as in `jax.random.key`: uint32 [*seed.shape, 2].

    seed: integers from 0 to 2^32 - 1. Raises UsageError on other values.
    """
    low = _uint32(seed, "seed")
    return np.stack([np.zeros_like(low), low], axis=-1)


def fold_in(key: Array, data: Integers) -> Array:
    """A new key for each pair of key and number, as in `jax.random.fold_in`.

    key: uint32 [..., 2]; data: 0 <= data < 2^32 (else UsageError), broadcast against the keys. Returns uint32 [..., 2].
    """
    low = _uint32(data, "number folded into a key")
    return threefry2x32(key, np.stack([np.zeros_like(low), low], axis=-1))


def bits(key: Array, shape: tuple[int, ...]) -> Array:
    """32 random bits per element: uint32 [*keys, *shape] for keys of shape [*keys, 2].

    Element i (in row-major order) encrypts the 64-bit count i, independently of the shape.
    """
    key = np.asarray(key, np.uint32)
    index = np.arange(math.prod(shape), dtype=np.uint64)
    counts = np.stack([index >> np.uint64(32), index], axis=-1).astype(np.uint32)  # [elements, 2], high word first
    words = threefry2x32(key[..., None, :], counts)  # [*keys, elements, 2]
    return (words[..., 0] ^ words[..., 1]).reshape((*key.shape[:-1], *shape))


def normal(key: Array, shape: tuple[int, ...]) -> Array:
    """Standard normals, float32 [*keys, *shape], as from `jax.random.normal` (within 2e-5)."""
    return np.float32(math.sqrt(2)) * erfinv(_uniform(bits(key, shape)))


def image_noise(seed: Integers, index: Integers, noise_index: int, shape: tuple[int, ...]) -> Array:
    """Noise number `noise_index` of each image `index` of its `seed`: float32 [N, *shape].

    seed, index: ints or int arrays [N], broadcast against each other, in [0, 2^32); else UsageError. An image's noise
    depends only on its own seed and index, so it is the same in every batch and on every machine.
    """
    image_keys = fold_in(key(np.atleast_1d(seed)), index)  # [N, 2]
    return normal(fold_in(image_keys, noise_index), shape)


def erfinv(u: Array) -> Array:
    """The inverse error function of float32 values in (-1, 1), within 2e-5.

    Source: Giles 2010, single precision: one polynomial for the centre, one for the tails. `1 - u * u` is rounded as in
    JAX; the paper's (1 - u)(1 + u) is more exact, but 2.2e-5 away from JAX at u = 0.9998.
    """
    w = -np.log(np.float32(1) - u * u)
    central = _horner(ERFINV_CENTRAL, w - np.float32(2.5))
    tail = _horner(ERFINV_TAIL, np.sqrt(np.maximum(w, np.float32(5))) - np.float32(3))
    return np.where(w < 5, central, tail) * u


def _horner(coefficients: tuple[float, ...], w: Array) -> Array:
    p = np.full_like(w, coefficients[0])
    for c in coefficients[1:]:
        p = np.float32(c) + p * w
    return p


def _uniform(random_bits: Array) -> Array:
    """float32 in (-1, 1) from the upper 23 bits, rounded as in JAX: from -(1 - 2^-24) to 1 - 3 * 2^-24."""
    mantissa = random_bits >> np.uint32(9)
    unit = (mantissa | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)  # [0, 1)
    return np.float32(2) * unit + np.nextafter(np.float32(-1), np.float32(0))


def _uint32(values: Integers, what: str) -> Array:
    array = np.asarray(values)
    wrong = (array < 0) | (array >= 2**32) if array.dtype.kind in "iu" else np.ones(array.shape, bool)
    if wrong.any():
        raise UsageError(f"a {what} must be an integer from 0 to 2^32 - 1, got {array[wrong].tolist()[0]!r}")
    return array.astype(np.uint32)
