"""Charts, by what changes in the image."""

import numpy as np
import pytest

from jaxgen.plots import latent_scatter


@pytest.mark.parametrize(("one", "other"), [(0, 10), (1, 11), (9, 39)])
def test_no_two_classes_have_one_colour(one, other):
    points = np.stack([np.arange(40), np.zeros(40)], axis=1)
    labels, swapped = np.arange(40), np.arange(40)
    swapped[[one, other]] = other, one
    assert (latent_scatter(points, swapped) != latent_scatter(points, labels)).any()


def test_legend_of_many_classes_fits_the_image():
    labels = np.arange(60)
    image = latent_scatter(np.zeros((60, 2)), labels, [f"class {i}" for i in labels])
    edge = np.concatenate([image[:3], image[-3:]])
    assert (edge == 255).all()


def test_points_without_a_class_are_plotted_in_grey():
    image = latent_scatter(np.random.default_rng(0).standard_normal((9, 2)), np.full(9, -1)).astype(int)
    assert (image.max(-1) - image.min(-1)).max() < 3
