import numpy as np
import pytest
from PIL import Image

from jaxgen import data
from jaxgen.data.image_files import read_images
from jaxgen.data.transforms import CHUNK, center_crop, compose, fit, resize, to_channels
from jaxgen.errors import JaxgenError

RNG = np.random.default_rng(0)


def by_pillow(images, size, resampling):
    """One image and one channel at a time."""
    planes = [[Image.fromarray(c).resize((size, size), resampling) for c in np.moveaxis(i, -1, 0)] for i in images]
    return np.stack([np.stack([np.asarray(plane) for plane in image], -1) for image in planes])


@pytest.mark.parametrize(
    ("side", "size", "resampling"),
    [
        (28, 16, Image.Resampling.LANCZOS),
        (28, 14, Image.Resampling.BOX),
        (8, 16, Image.Resampling.NEAREST),
        (8, 12, Image.Resampling.LANCZOS),
        (64, 128, Image.Resampling.LANCZOS),
        (5, 1, Image.Resampling.BOX),
        (28, 28, Image.Resampling.NEAREST),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_of_a_set_equals_pillow_on_each_image(side, size, resampling, channels):
    images = RNG.integers(0, 256, (7, side, side, channels), np.uint8)
    np.testing.assert_array_equal(resize(images, size), by_pillow(images, size, resampling))


def test_resize_across_chunks_equals_pillow_on_each_image():
    images = RNG.integers(0, 256, (CHUNK + 3, 3, 3, 1), np.uint8)
    np.testing.assert_array_equal(resize(images, 2), by_pillow(images, 2, Image.Resampling.LANCZOS))


def test_resize_of_no_images_gives_none():
    assert resize(np.empty((0, 28, 28, 1), np.uint8), 16).shape == (0, 16, 16, 1)


def test_grey_of_rgb_equals_pillow():
    image = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(
        to_channels(image[None], 1)[0, ..., 0], np.asarray(Image.fromarray(image).convert("L"))
    )


def test_rgb_of_grey_repeats_it():
    np.testing.assert_array_equal(to_channels(np.full((1, 1, 1, 1), 7, np.uint8), 3), np.full((1, 1, 1, 3), 7))


def test_rgb_of_half_transparent_black_is_half_of_white():
    pixel = np.array([0, 0, 0, 128], np.uint8).reshape(1, 1, 1, 4)
    assert to_channels(pixel, 3).ravel().tolist() == [127, 127, 127]  # 255 * 127 / 255
    assert to_channels(pixel, 1).ravel().tolist() == [127]


def test_compose_mixes_by_alpha_and_rounds():
    pixels = np.array([[10, 20, 30, 255], [10, 20, 30, 0], [10, 20, 30, 128]], np.uint8)
    want = [[10, 20, 30], [99, 133, 150], [54, 76, 90]]  # 54.33, 76.27, 89.76
    assert compose(pixels, (99, 133, 150)).tolist() == want


def test_center_crop_keeps_the_middle():
    image = np.arange(2 * 5, dtype=np.uint8).reshape(1, 2, 5, 1)
    assert center_crop(image)[0, ..., 0].tolist() == [[1, 2], [6, 7]]
    assert center_crop(image.swapaxes(1, 2)).shape == (1, 2, 2, 1)


def test_fit_of_wide_rgba_gives_the_requested_shape():
    assert fit(np.zeros((2, 10, 30, 4), np.uint8), 5, 1).shape == (2, 5, 5, 1)


def test_two_channels_wanted_raises():
    with pytest.raises(JaxgenError, match="1 or 3"):
        to_channels(np.zeros((1, 1, 1, 3), np.uint8), 2)


def test_drawing_on_nothing_stands_out_in_training_as_everywhere(tmp_path):
    """One rule for transparent pixels: white behind a dark drawing, black behind a light one."""
    for name, stroke in (("dark", 9), ("light", 250)):
        image = Image.new("RGBA", (4, 4), (stroke, stroke, stroke, 0))
        image.paste((stroke, stroke, stroke, 255), (1, 0, 2, 4))
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "a.png")
        ground = 255 if stroke == 9 else 0
        want = [[ground, stroke, ground, ground]] * 4
        batch, _ = data.batches(f"folder:{tmp_path / name}", 1, seed=0, size=4, channels=1)[0]
        assert batch[0, ..., 0].tolist() == read_images([tmp_path / name], 4, 1)[0, ..., 0].tolist() == want
