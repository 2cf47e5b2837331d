"""Ways through latent space, against geometry done by hand and scipy's normal distribution."""

import numpy as np
import pytest
from scipy.stats import norm

from jaxgen.errors import UsageError
from jaxgen.latent.interpolation import PATHS, linear, plane, spherical, sweep, walk


def test_halfway_between_two_axes_is_the_chord_or_the_arc():
    a, b, half = np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5])
    np.testing.assert_allclose(linear(a, b, half), [[0.5, 0.5]])
    np.testing.assert_allclose(spherical(a, b, half), [[np.sqrt(0.5), np.sqrt(0.5)]], rtol=1e-6)


def test_arc_turns_by_equal_angles_and_keeps_the_length():
    a, b = np.array([3.0, 0.0]), 3 * np.array([np.cos(1.2), np.sin(1.2)])
    way = spherical(a, b, np.linspace(0, 1, 5))
    np.testing.assert_allclose(np.arctan2(way[:, 1], way[:, 0]), [0, 0.3, 0.6, 0.9, 1.2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 3, rtol=1e-6)


def test_arc_between_images_of_noise_keeps_their_spread_and_the_chord_does_not():
    a, b = np.random.default_rng(0).standard_normal((2, 28, 28, 1)).astype(np.float32)
    half = np.array([0.5])
    assert abs(spherical(a, b, half).std() - 1) < 0.05
    assert abs(linear(a, b, half).std() - np.sqrt(0.5)) < 0.05


@pytest.mark.parametrize("b", [[2.0, 4.0], [-1.0, -2.0], [0.0, 0.0]])
def test_arc_is_straight_where_there_is_none(b):
    a, share = np.array([1.0, 2.0]), np.array([0.0, 0.25, 1.0])
    np.testing.assert_allclose(spherical(a, np.array(b), share), linear(a, np.array(b), share))


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_walk_passes_through_every_point(path):
    points = np.random.default_rng(1).standard_normal((3, 2, 2, 1)).astype(np.float32)
    way = walk(points, 4, path)
    assert (way.shape, way.dtype) == ((2, 4, 2, 2, 1), np.float32)
    np.testing.assert_allclose(way[:, 0], points[:-1], atol=1e-6)
    np.testing.assert_allclose(way[:, -1], points[1:], atol=1e-6)


@pytest.mark.parametrize(("points", "frames"), [(1, 5), (2, 1)])
def test_walk_between_nothing_is_refused(points, frames):
    with pytest.raises(UsageError, match="at least 2 points and 2 frames"):
        walk(np.zeros((points, 3)), frames, linear)


def test_sweep_changes_one_dimension_a_row():
    codes = sweep(np.array([7.0, 8.0, 9.0]), np.array([2, 0]), 1.5, 3)
    np.testing.assert_array_equal(codes[0], [[7, 8, -1.5], [7, 8, 0], [7, 8, 1.5]])
    np.testing.assert_array_equal(codes[1], [[-1.5, 8, 9], [0, 8, 9], [1.5, 8, 9]])


def test_plane_has_equal_shares_of_the_prior_between_its_lines_and_up_is_up():
    points = plane(4).reshape(4, 4, 2)
    np.testing.assert_allclose(norm.cdf(points[0, :, 0]), [0.125, 0.375, 0.625, 0.875], atol=1e-6)
    np.testing.assert_allclose(norm.cdf(points[:, 0, 1]), [0.875, 0.625, 0.375, 0.125], atol=1e-6)
