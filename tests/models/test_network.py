import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import DDPM, DataConfig, UNetConfig
from jaxgen.models import network as networks

CONDITIONAL = DDPM(
    data=DataConfig(size=8, channels=3),
    model=UNetConfig(channels=8, multipliers=(1, 2), blocks=1, groups=4, attention=(4,), classes=3, dropout=0.5),
)
BLOCK = ["norm1.scale", "norm1.bias", "conv1.kernel", "conv1.bias", "embed.kernel", "embed.bias"]
BLOCK += ["norm2.scale", "norm2.bias", "conv2.kernel", "conv2.bias"]
SKIP = ["skip.kernel", "skip.bias"]
ATTENTION = [f"attention.{name}" for name in ("norm.scale", "norm.bias", "qkv.kernel", "qkv.bias")]
ATTENTION += ["attention.out.kernel", "attention.out.bias"]
# Written by hand from the image of a UNet: checkpoints and exported files hold these names.
NAMES = {
    "time1": ["kernel", "bias"],
    "time2": ["kernel", "bias"],
    "label": ["embedding"],
    "conv_in": ["kernel", "bias"],
    "down.0.blocks.0": BLOCK,  # 8 x 8
    "down.0.resize": ["kernel", "bias"],
    "down.1.blocks.0": [*BLOCK, *SKIP, *ATTENTION],  # 4 x 4
    "middle.0": [*BLOCK, *ATTENTION],
    "middle.1": BLOCK,
    "up.0.blocks.0": [*BLOCK, *SKIP, *ATTENTION],  # 4 x 4
    "up.0.resize.conv": ["kernel", "bias"],
    "up.1.blocks.0": [*BLOCK, *SKIP],  # 8 x 8
    "norm_out": ["scale", "bias"],
    "conv_out": ["kernel", "bias"],
}


@pytest.fixture(scope="module")
def network() -> networks.Network:
    return networks.build(CONDITIONAL)


@pytest.fixture(scope="module")
def params(network):
    """Random in every parameter: a fresh network is zero at its end, and so tells nothing."""
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    rng = np.random.default_rng(0)
    return {name: jnp.asarray(0.3 * rng.standard_normal(leaf.shape), jnp.float32) for name, leaf in shapes.items()}


@pytest.fixture(scope="module")
def apply(network):
    return jax.jit(network.apply)


X = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
T = jnp.array([3, 700])
LABEL = jnp.array([1, 2])


def test_parameters_have_their_names(params):
    assert sorted(params) == sorted(f"{where}.{name}" for where, names in NAMES.items() for name in names)


def test_parameters_have_the_shapes_of_the_config(params):
    assert params["conv_in.kernel"].shape == (3, 3, 3, 8)
    assert params["down.1.blocks.0.conv1.kernel"].shape == (3, 3, 8, 16)
    assert params["up.1.blocks.0.conv1.kernel"].shape == (3, 3, 16, 8)  # what comes up beside the skip connection
    assert params["up.0.resize.conv.kernel"].shape == (3, 3, 16, 8)
    assert params["label.embedding"].shape == (4, 32)  # the last row is the null class
    assert networks.parameter_count({"a": jnp.ones((2, 3)), "b": jnp.ones(4)}) == 10


@pytest.mark.parametrize(
    ("multipliers", "blocks", "size", "channels"), [((1,), 2, 5, 1), ((2, 1, 1), 1, 12, 3), ((1, 2, 2, 4), 2, 16, 3)]
)
def test_output_has_the_shape_of_the_image(multipliers, blocks, size, channels):
    model = UNetConfig(channels=8, multipliers=multipliers, blocks=blocks, groups=4)
    config = DDPM(data=DataConfig(size=size, channels=channels), model=model)
    built = networks.build(config)
    params = jax.eval_shape(built.init, jax.random.key(0))
    x = jnp.zeros((3, size, size, channels))
    out = jax.eval_shape(built.apply, params, x, jnp.zeros(3), jnp.full(3, -1))
    assert (out.shape, out.dtype) == (x.shape, jnp.float32)


def test_fresh_network_says_zero_and_repeats_from_its_key(network, apply):
    init = jax.jit(network.init)
    one, again = init(jax.random.key(0)), init(jax.random.key(0))
    assert all(jnp.array_equal(one[name], again[name]) for name in one)
    assert all(leaf.dtype == jnp.float32 for leaf in one.values())
    assert not jnp.array_equal(one["conv_in.kernel"], init(jax.random.key(1))["conv_in.kernel"])
    assert not apply(one, X, T, LABEL).any()


def test_label_minus_one_is_the_null_class(apply, params):
    null = CONDITIONAL.model.classes
    assert jnp.array_equal(apply(params, X, T, jnp.array([-1, -1])), apply(params, X, T, jnp.array([null, null])))
    moved = {**params, "label.embedding": params["label.embedding"].at[null].add(1.0)}
    assert not jnp.allclose(apply(moved, X, T, jnp.array([-1, -1])), apply(params, X, T, jnp.array([-1, -1])))
    assert jnp.array_equal(apply(moved, X, T, LABEL), apply(params, X, T, LABEL))


def test_every_input_counts_and_images_do_not_mix(apply, params):
    out = apply(params, X, T, LABEL)
    for x, t, label in [(X.at[1].add(1.0), T, LABEL), (X, T.at[1].add(50), LABEL), (X, T, LABEL.at[1].set(0))]:
        changed = apply(params, x, t, label)
        assert jnp.allclose(changed[0], out[0], atol=1e-5)
        assert not jnp.allclose(changed[1], out[1], atol=1e-3)


def test_dropout_is_off_without_a_key_and_repeats_with_one(apply, params):
    dropping = jax.jit(lambda key: apply(params, X, T, LABEL, key=key))
    plain = apply(params, X, T, LABEL)
    without = networks.build(dataclasses.replace(CONDITIONAL, model=dataclasses.replace(CONDITIONAL.model, dropout=0)))
    assert jnp.allclose(jax.jit(without.apply)(params, X, T, LABEL), plain, atol=1e-5)
    assert jnp.array_equal(dropping(jax.random.key(0)), dropping(jax.random.key(0)))
    assert not jnp.allclose(dropping(jax.random.key(0)), plain)


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(params, apply):
    half = networks.build(CONDITIONAL, "bfloat16")
    text = str(jax.make_jaxpr(half.apply)(params, X, T, LABEL))
    assert "bf16" in text and "bf16" not in str(jax.make_jaxpr(networks.build(CONDITIONAL).apply)(params, X, T, LABEL))
    out, want = jax.jit(half.apply)(params, X, T, LABEL), apply(params, X, T, LABEL)
    assert out.dtype == jnp.float32
    assert 1e-5 < float(jnp.abs(out - want).max() / jnp.abs(want).max()) < 0.1
    assert all(leaf.dtype == jnp.float32 for leaf in jax.eval_shape(half.init, jax.random.key(0)).values())


def test_hash_is_over_names_shapes_and_bytes_in_the_order_of_names():
    a, b = np.array([[1, 2]], np.float32), np.array([3], np.float32)
    want = hashlib.sha256(b"a[1, 2]" + a.tobytes() + b"b[1]" + b.tobytes()).hexdigest()
    assert networks.weights_hash({"b": b, "a": a}) == networks.weights_hash({"a": a, "b": b}) == want
    different = [{"a": a, "b": b + 1}, {"a": a, "c": b}, {"a": a.T, "b": b}, {"a": a}]
    assert len({want, *map(networks.weights_hash, different)}) == 5
