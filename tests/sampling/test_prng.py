import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxgen.errors import UsageError
from jaxgen.sampling import prng

SEEDS = (0, 1, 42, 2**31 - 1, 2**31, 2**32 - 1)
SHAPES = ((), (0,), (1,), (7,), (3, 5), (2, 28, 28, 1), (65_537,))


def jax_key(seed):
    return jax.random.key(np.uint32(seed))


def every_uniform():
    """All 2^23 uniforms that a draw can hold, through JAX's own arithmetic."""
    mantissa = jnp.arange(2**23, dtype=jnp.uint32) | 0x3F800000
    low = np.nextafter(np.float32(-1), np.float32(0))
    unit = jax.lax.bitcast_convert_type(mantissa, jnp.float32) - 1
    return np.asarray(jnp.maximum(low, unit * (np.float32(1) - low) + low))


def test_threefry_gives_the_known_answers_of_random123():
    # Random123's kat_vectors, threefry2x32 with 20 rounds: counter, key, result.
    pi = [0x243F6A88, 0x85A308D3], [0x13198A2E, 0x03707344], [0xC4923A9C, 0x483DF7A0]
    zeros = [0, 0], [0, 0], [0x6B200159, 0x99BA4EFE]
    ones = [0xFFFFFFFF] * 2, [0xFFFFFFFF] * 2, [0x1CB996FC, 0xBB002BE7]
    counts, keys, expected = (np.array(column, np.uint32) for column in zip(zeros, ones, pi, strict=True))
    np.testing.assert_array_equal(prng.threefry2x32(keys, counts), expected)


def test_key_equals_jax_for_scalars_and_arrays():
    expected = np.stack([jax.random.key_data(jax_key(seed)) for seed in SEEDS])
    np.testing.assert_array_equal(prng.key(np.array(SEEDS)), expected)
    np.testing.assert_array_equal(prng.key(2**32 - 1), expected[-1])


def test_fold_in_equals_jax_for_every_pair_of_a_batch():
    data = np.array([0, 1, 2, 1000, 2**31, 2**32 - 1])
    keys = prng.fold_in(prng.key(np.array(SEEDS))[:, None], data)
    assert keys.shape == (len(SEEDS), len(data), 2)
    for i, seed in enumerate(SEEDS):
        for j, number in enumerate(data):
            expected = jax.random.key_data(jax.random.fold_in(jax_key(seed), np.uint32(number)))
            np.testing.assert_array_equal(keys[i, j], expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_bits_equal_jax(seed, shape):
    ours, theirs = prng.bits(prng.key(seed), shape), jax.random.bits(jax_key(seed), shape)
    assert ours.dtype == np.uint32 and ours.shape == shape
    np.testing.assert_array_equal(ours, theirs)


def test_bits_of_a_batch_of_keys_equal_jax_key_by_key():
    ours = prng.bits(prng.key(np.array(SEEDS).reshape(2, 3)), (4, 5))
    theirs = np.stack([jax.random.bits(jax_key(seed), (4, 5)) for seed in SEEDS])
    np.testing.assert_array_equal(ours, theirs.reshape(2, 3, 4, 5))


@pytest.mark.parametrize("seed", SEEDS[-2:])
def test_normal_equals_jax_over_a_big_array(seed):
    ours, theirs = prng.normal(prng.key(seed), (2**21,)), np.asarray(jax.random.normal(jax_key(seed), (2**21,)))
    assert ours.dtype == np.float32
    assert np.abs(theirs).max() > 4.9  # the tails are in it
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


def test_uniforms_equal_jax_for_all_bits():
    bits = np.arange(2**23, dtype=np.uint32) << np.uint32(9)
    np.testing.assert_array_equal(prng._uniform(bits), every_uniform())


def test_erfinv_equals_jax_at_every_uniform():
    u = every_uniform()
    np.testing.assert_allclose(prng.erfinv(u), jax.lax.erf_inv(u), rtol=0, atol=2e-6)


def test_erfinv_is_near_scipy_at_every_uniform_and_in_the_last_of_the_tails():
    u = every_uniform()
    expected = scipy.special.erfinv(u.astype(np.float64))
    np.testing.assert_allclose(prng.erfinv(u), expected, rtol=0, atol=2e-5)
    ends = np.r_[0:4, -4:0]
    assert (u[0], u[-1]) == (-(1 - 2**-24), 1 - 3 * 2**-24)
    np.testing.assert_allclose(prng.erfinv(u[ends]), expected[ends], rtol=0, atol=2e-6)


def test_image_noise_is_the_documented_chain_of_fold_ins():
    seeds, indices = np.array([0, 7, 7, 2**32 - 1]), np.array([0, 0, 123, 2**32 - 1])
    ours = prng.image_noise(seeds, indices, 3, (4, 4, 1))
    assert ours.shape == (4, 4, 4, 1) and ours.dtype == np.float32
    for seed, index, noise in zip(seeds, indices, ours, strict=True):
        image_key = jax.random.fold_in(jax_key(seed), np.uint32(index))
        expected = jax.random.normal(jax.random.fold_in(image_key, 3), (4, 4, 1))
        np.testing.assert_allclose(noise, expected, rtol=0, atol=2e-5)


def test_image_noise_does_not_depend_on_the_batch_around_it():
    whole = prng.image_noise(5, np.arange(10), 1, (3, 3, 2))
    np.testing.assert_array_equal(prng.image_noise(5, [6], 1, (3, 3, 2))[0], whole[6])
    np.testing.assert_array_equal(prng.image_noise(5, np.arange(4, 8), 1, (3, 3, 2)), whole[4:8])
    assert prng.image_noise([], [], 1, (3, 3, 2)).shape == (0, 3, 3, 2)


@pytest.mark.parametrize("value", [-1, 2**32, 2**64, 1.5, True, "7", None, [0, -1], np.array([2.0])])
def test_numbers_that_are_no_uint32_are_refused(value):
    with pytest.raises(UsageError, match="seed must be an integer from 0 to"):
        prng.key(value)
    with pytest.raises(UsageError, match="integer from 0 to"):
        prng.fold_in(prng.key(0), value)
