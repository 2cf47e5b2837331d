"""Files, folders and arrays that a person names, as one array."""

import numpy as np
import pytest
from PIL import Image

from jaxgen.data.image_files import read_images, read_unchanged, with_channels
from jaxgen.data.transforms import flatten
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import save_png


def save(path, value, size=(8, 8), mode="L"):
    Image.new(mode, size, value).save(path)
    return path


def test_files_folders_and_arrays_come_in_the_order_they_are_named(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    save(folder / "b.png", 30), save(folder / "a.png", 20), (folder / "notes.txt").write_text("no image")
    array = tmp_path / "more.npy"
    np.save(array, np.full((2, 8, 8, 1), 40, np.uint8))
    found = read_images([save(tmp_path / "x.png", 10), folder, array])
    assert found.shape == (5, 8, 8, 1)
    assert found[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 40]


def test_images_are_made_to_the_measure_of_the_smallest_and_the_most_colourful(tmp_path):
    found = read_images([save(tmp_path / "a.png", 10, (20, 30)), save(tmp_path / "b.png", (1, 2, 3), (9, 12), "RGB")])
    assert found.shape == (2, 9, 9, 3)
    assert found[0, 0, 0].tolist() == [10, 10, 10]
    assert found[1, 0, 0].tolist() == [1, 2, 3]


def test_measure_can_be_given(tmp_path):
    assert read_images([save(tmp_path / "a.png", (9, 9, 9), mode="RGB")], 4, 1).shape == (1, 4, 4, 1)


def test_large_images_are_made_small(tmp_path):
    assert read_images([save(tmp_path / "a.png", 1, (900, 800))]).shape == (1, 256, 256, 1)


def test_folder_without_images_is_refused_by_name(tmp_path):
    empty, classes, hidden = (tmp_path / name for name in ("empty", "classes", "hidden"))
    for folder in (empty, classes / "cat", hidden / ".git"):
        folder.mkdir(parents=True)
    save(classes / "cat" / "1.png", 1), save(hidden / "._x.png", 1), save(hidden / ".git" / "2.png", 1)
    for folder in (empty, hidden):
        with pytest.raises(UsageError, match=f"{folder}: no images in this folder .looked for .*.png, "):
            read_images([folder])
    with pytest.raises(UsageError, match=f"{classes}: its images lie in subfolders.* --dataset folder:{classes}$"):
        read_images([classes])
    with pytest.raises(UsageError, match="no images: name files"):
        read_images([])


@pytest.mark.parametrize(("stroke", "channels"), [((255, 255, 255), 1), ((9, 9, 90), 3), ((255, 255, 0), 3)])
def test_drawing_on_nothing_stands_out(stroke, channels, tmp_path):
    image = Image.new("RGBA", (8, 8), (*stroke, 0))
    image.paste((*stroke, 255), (2, 2, 4, 8))
    image.save(tmp_path / "a.png")
    found = read_images([tmp_path / "a.png"], 8, channels)[0]
    want = np.full((8, 8, channels), 0 if sum(stroke) > 380 else 255)
    want[2:8, 2:4] = stroke[:channels]
    np.testing.assert_array_equal(found, want)


def test_each_of_an_array_is_laid_on_what_it_stands_out_from(tmp_path):
    images = np.zeros((3, 2, 1, 2), np.uint8)  # grey and alpha: the upper pixel is opaque, none of the last
    images[:2, 0, 0] = [[255, 255], [0, 255]]
    np.save(tmp_path / "a.npy", images)
    assert read_images([tmp_path / "a.npy"], 1, 1).ravel().tolist() == [255, 0, 255]
    assert flatten(images)[..., 0, 0].tolist() == [[255, 0], [0, 255], [255, 255]]
    np.testing.assert_array_equal(flatten(images[..., :1]), images[..., :1])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 1)),
        np.zeros((0, 8, 8, 1), np.uint8),
        np.array([{}, 1], object),
    ],
    ids=["rank", "dtype", "empty", "pickled"],
)
def test_array_of_something_else_is_refused_by_name(array, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(JaxgenError, match=r"x\.npy"):
        read_images([path])


@pytest.mark.parametrize("name", ["x.png", "x.npy", "missing.png", "missing.npy"])
def test_damaged_or_missing_file_is_refused_by_name(name, tmp_path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG no")
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(JaxgenError, match=name):
        read_images([tmp_path / name])


def test_unchanged_images_keep_their_size_and_grey_ones_among_coloured_ones_become_rgb(tmp_path):
    rng = np.random.default_rng(0)
    grey, colour = (rng.integers(0, 256, (5, 7, channels), np.uint8) for channels in (1, 3))
    save_png(tmp_path / "a.png", grey, {})
    assert np.array_equal(read_unchanged(tmp_path), grey[None])
    save_png(tmp_path / "b.png", colour, {})
    assert np.array_equal(read_unchanged(tmp_path), np.stack([np.repeat(grey, 3, -1), colour]))
    save_png(tmp_path / "c.png", colour[:4], {})
    with pytest.raises(UsageError, match=r"one size are expected: .*a.png is 5x7, .*c.png is 4x7"):
        read_unchanged(tmp_path)


def test_channels_change_only_where_nothing_is_lost():
    grey = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 1), np.uint8)
    colour = np.repeat(grey, 3, -1)
    assert np.array_equal(with_channels(grey, 3), colour) and np.array_equal(with_channels(colour, 1), grey)
    assert with_channels(grey, 1) is grey
    colour[1, 0, 0, 2] ^= 1
    assert with_channels(colour, 1) is None
