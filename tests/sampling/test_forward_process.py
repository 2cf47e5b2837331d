"""From an image to noise, against the formula of the forward process."""

import numpy as np

from jaxgen.sampling.forward_process import noising
from jaxgen.sampling.plan import alpha_bar


def frames_of(images, kept, count, **options):
    return np.stack(list(noising(images, kept, count, **options)))


def test_first_frame_is_the_image_and_the_last_one_is_noise():
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), np.uint8)
    frames = frames_of(images, alpha_bar("cosine", 1000), 10)
    assert frames.shape == (10, 3, 32, 32, 1)
    np.testing.assert_array_equal(frames[0], images)
    correlation = np.corrcoef(images.ravel(), frames[-1].ravel())[0, 1]
    assert abs(correlation) < 0.05


def test_frame_between_is_a_mixture_by_alpha_bar():
    images = np.full((1, 64, 64, 1), 255, np.uint8)  # x0 = 1
    kept = np.array([0.36])
    frame = frames_of(images, kept, 2)[-1] / 127.5 - 1
    below = frame[frame < 0.999]  # what is not cut off at white: x = 0.6 + 0.8 eps < 1, so eps < 0.5
    assert abs(np.median(frame) - 0.6) < 0.05
    assert abs(np.quantile(frame, 0.158655) - (0.6 - 0.8)) < 0.06  # one deviation below
    assert abs(len(below) / frame.size - 0.6915) < 0.02  # P(eps < 0.5)


def test_noise_stays_the_same_along_the_way_and_depends_on_the_seed():
    images = np.full((2, 16, 16, 1), 128, np.uint8)
    kept = np.array([0.9, 0.5, 0.1])
    a, again, other = (frames_of(images, kept, 4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, again)
    assert (a[-1] != other[-1]).mean() > 0.9
    assert np.corrcoef(a[1].ravel(), a[2].ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(a[3, 0].ravel(), a[3, 1].ravel())[0, 1]) < 0.2
