"""Exported files as onnxruntime runs them, and what JAX says to the same requests."""

import jax
import numpy as np
import onnxruntime

from jaxgen.images import to_uint8
from jaxgen.models import network

BACKENDS = ["onnxruntime", "pytorch", "torchscript"]


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def requests(model, count=7):
    """seed, index and, where there are classes, label, as the contract has them."""
    feeds = {"seed": np.array([0, 1, 2**31, 2**32 - 1, 5, 5, 5])[:count], "index": np.arange(9, 9 + count)}
    return feeds | ({"label": np.array([0, 1, 2, 2, 1, -1, 0])[:count]} if model.classes else {})


def noise(model, seed, index):
    """Draw 0 of each image's key, by jax.random."""
    keys = [jax.random.fold_in(jax.random.key(np.uint32(s)), np.uint32(i)) for s, i in zip(seed, index, strict=True)]
    return np.stack([jax.random.normal(jax.random.fold_in(key, 0), model.config.noise_shape) for key in keys])


def by_jax(model, feeds, z=None):
    z = noise(model, feeds["seed"], feeds["index"]) if z is None else z
    label = feeds.get("label", np.full(len(z), -1))
    return to_uint8(jax.jit(network.build(model.config).apply)(model.params, z, label.astype(np.int32)))


def assert_same(found, want):
    assert (found.dtype, found.shape) == (np.uint8, want.shape)
    difference = np.abs(found.astype(int) - want)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.995


def random_pixels(model, count=7):
    return np.random.default_rng(count).integers(0, 256, (count, *model.config.data.shape), np.uint8)


def shape_of(model):
    return model.config.data.size, model.config.data.size, model.config.data.channels
