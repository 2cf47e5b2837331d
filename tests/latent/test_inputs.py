"""Images and masks as a person names them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.latent.inputs import Images, mask

SHAPE = (8, 8, 1)


def test_files_folders_and_arrays_come_in_order_named_as_given(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    for name, value in (("folder/b.png", 2), ("folder/a.png", 1), ("c.png", 3)):
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / name)
    np.save(tmp_path / "d.npy", np.arange(4, 6, dtype=np.uint8)[:, None, None, None] * np.ones((1, *SHAPE), np.uint8))
    monkeypatch.chdir(tmp_path)
    found = Images.from_files([Path("folder"), Path("c.png"), tmp_path / "d.npy"], SHAPE)
    assert found.names == ["folder/a.png", "folder/b.png", "c.png", f"{tmp_path}/d.npy[0]", f"{tmp_path}/d.npy[1]"]
    assert found.images[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert found.labels.tolist() == [-1] * 5


def test_drawing_on_paper_is_inverted_and_fitted(tmp_path):
    paper = np.full((32, 48, 3), 255, np.uint8)
    paper[8:24, 16:32] = 0  # ink, in the middle
    Image.fromarray(paper).save(tmp_path / "paper.jpg", quality=100)
    image = Images.from_files([tmp_path / "paper.jpg"], SHAPE, invert=True).images[0, ..., 0]
    assert image[2:6, 2:6].min() > 250 and image[0].max() < 5


def test_no_images_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no images"):
        Images.from_files([], SHAPE)
    with pytest.raises(UsageError, match=rf"{tmp_path}: no images in this folder"):
        Images.from_files([tmp_path], SHAPE)
    with pytest.raises(JaxgenError, match=r"missing\.png: no such file"):
        Images.from_files([tmp_path / "missing.png"], SHAPE)


def test_dataset_brings_labels_and_classes():
    found = Images.from_dataset("digits", SHAPE, split="test", first=3, count=4, data_dir=None)
    whole = Images.from_dataset("digits", SHAPE, split="test", data_dir=None)
    assert (len(found), len(whole)) == (4, 300)
    np.testing.assert_array_equal(found.images, whole.images[3:7])
    np.testing.assert_array_equal(found.labels, whole.labels[3:7])
    paper = Images.from_dataset("digits", SHAPE, split="test", first=3, count=4, data_dir=None, invert=True)
    np.testing.assert_array_equal(paper.images, 255 - found.images)
    assert found.names[0] == "test[3]"
    assert found.number("#3") == 3 and (found.number("8"), found.called(8), found.called(-1)) == (8, "8", "-")
    with pytest.raises(UsageError, match="expected a class of the dataset"):
        found.number("eight")
    with pytest.raises(UsageError, match="none from 300"):
        Images.from_dataset("digits", SHAPE, split="test", first=300, data_dir=None)


@pytest.mark.parametrize(("name", "row"), [("top", 0), ("bottom", 7)])
def test_region_is_what_is_unknown(name, row):
    unknown = mask(name, SHAPE)
    assert unknown[row].all() and not unknown[7 - row].any()
    assert mask("center", SHAPE).sum() == 16
    np.testing.assert_array_equal(mask("left", SHAPE), ~mask("right", SHAPE))


def test_mask_from_an_image_is_unknown_where_it_is_light(tmp_path):
    light = np.zeros((16, 16), np.uint8)
    light[:, 8:] = 255
    Image.fromarray(light).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(mask(str(tmp_path / "mask.png"), SHAPE), mask("right", SHAPE))
    Image.fromarray(0 * light).save(tmp_path / "black.png")
    with pytest.raises(UsageError, match="everything is known"):
        mask(str(tmp_path / "black.png"), SHAPE)
    with pytest.raises(UsageError, match="--mask takes an image, or one of"):
        mask("middle", SHAPE)
