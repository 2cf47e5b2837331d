"""Files, folders and arrays that a person names, as one array."""

import numpy as np
import pytest
from PIL import Image

from jaxgen.data.pictures import read_pictures
from jaxgen.errors import JaxgenError, UsageError


def save(path, value, size=(8, 8), mode="L"):
    Image.new(mode, size, value).save(path)
    return path


def test_files_folders_and_arrays_come_in_the_order_they_are_named(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    save(folder / "b.png", 30), save(folder / "a.png", 20), (folder / "notes.txt").write_text("no picture")
    array = tmp_path / "more.npy"
    np.save(array, np.full((2, 8, 8, 1), 40, np.uint8))
    found = read_pictures([save(tmp_path / "x.png", 10), folder, array])
    assert found.shape == (5, 8, 8, 1)
    assert found[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 40]


def test_pictures_are_made_to_the_measure_of_the_smallest_and_the_most_colourful(tmp_path):
    found = read_pictures([save(tmp_path / "a.png", 10, (20, 30)), save(tmp_path / "b.png", (1, 2, 3), (9, 12), "RGB")])
    assert found.shape == (2, 9, 9, 3)
    assert found[0, 0, 0].tolist() == [10, 10, 10]
    assert found[1, 0, 0].tolist() == [1, 2, 3]


def test_measure_can_be_given(tmp_path):
    assert read_pictures([save(tmp_path / "a.png", (9, 9, 9), mode="RGB")], 4, 1).shape == (1, 4, 4, 1)


def test_large_pictures_are_made_small(tmp_path):
    assert read_pictures([save(tmp_path / "a.png", 1, (900, 800))]).shape == (1, 256, 256, 1)


def test_nothing_named_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no pictures"):
        read_pictures([tmp_path])


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
        read_pictures([path])


@pytest.mark.parametrize("name", ["x.png", "x.npy", "missing.png", "missing.npy"])
def test_damaged_or_missing_file_is_refused_by_name(name, tmp_path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG no")
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(JaxgenError, match=name):
        read_pictures([tmp_path / name])
