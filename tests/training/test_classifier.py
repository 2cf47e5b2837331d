"""The shifts of a classifier's training images."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from jaxgen.training.classifier import shifted


def test_shifted_images_are_moved_by_up_to_the_given_pixels_each_by_its_own():
    images = np.asarray(jax.random.normal(jax.random.key(0), (200, 5, 5, 1)))
    moved = np.asarray(shifted(jnp.asarray(images), 1, key=jax.random.key(1)))
    steps = [(down, right, 0) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    found = set()
    for image, result in zip(images, moved, strict=True):
        (step,) = [by for by in steps if np.array_equal(ndimage.shift(image, by, order=0, mode="nearest"), result)]
        found.add(step)
    assert found == set(steps)


def test_shift_of_zero_keeps_the_images():
    images = jnp.arange(50.0).reshape(2, 5, 5, 1)
    np.testing.assert_array_equal(shifted(images, 0, key=jax.random.key(0)), images)
