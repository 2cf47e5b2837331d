"""What tells one dataset from another: names, number, size, and some images."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from jaxgen import data
from jaxgen.data.batches import RenamedBatches, StreamedBatches
from jaxgen.data.identity import Identity, listed


def paint(folder, shade):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(folder / f"{shade:03}.png")


@pytest.fixture
def pets(tmp_path):
    """Twenty images of each of two classes, whose shades are even for cats and odd for dogs."""
    for shade in range(40):
        paint(tmp_path / "pets" / ("dog" if shade % 2 else "cat"), shade)
    return tmp_path / "pets"


def identity(folder, **options):
    return data.batches(f"folder:{folder}", 4, seed=0, size=8, channels=1, **options).identity


def test_record_of_an_image_is_the_hash_of_its_pixels_and_its_label():
    found = data.batches("digits", 4, seed=0).identity
    digits = data.load("digits")
    assert (found.classes, found.count, found.shape) == (digits.classes, 1497, (8, 8, 1))
    for which, row in [(0, 0), (1, 93), (15, 1403)]:  # every 1497 / 16 rows
        content = digits.images[row].tobytes() + bytes([digits.labels[row], 0, 0, 0])
        assert found.records[which] == hashlib.sha256(content).hexdigest()[:16]
    assert len(found.records) == 16


def test_identity_is_the_same_elsewhere_streamed_and_after_json(pets, tmp_path):
    found = identity(pets)
    assert identity(pets.rename(tmp_path / "moved")) == found
    assert identity(tmp_path / "moved", memory_limit=0) == found
    assert Identity.from_dict(json.loads(json.dumps(found.to_dict()))) == found and not found.differences(found)


def test_streamed_and_loaded_batches_are_what_the_test_says(pets):
    assert isinstance(data.batches(f"folder:{pets}", 4, seed=0, size=8, memory_limit=0), StreamedBatches)


def test_changes_are_told_one_by_one(pets):
    before = identity(pets)
    (pets / "dog").rename(pets / "wolf")
    assert before.differences(identity(pets)) == ["the classes were cat, dog, and are cat, wolf"]
    (pets / "wolf").rename(pets / "dog")
    paint(pets / "dog", 200)
    assert "there were 36 training images, and are 37" in before.differences(identity(pets))
    (pets / "dog" / "200.png").unlink()
    Image.new("RGB", (8, 8), (250, 0, 0)).save(pets / "cat" / "000.png")  # the first row
    assert before.differences(identity(pets)) == ["1 of 16 images that were looked at differ"]


def test_images_of_another_size_are_told():
    before = data.batches("digits", 4, seed=0).identity
    assert before.differences(dataclasses.replace(before, shape=(16, 16, 1))) == ["they were 8x8x1, and are 16x16x1"]


@pytest.mark.parametrize("values", [None, 3, [], {}, {"classes": [], "count": "x", "shape": [], "records": []}])
def test_what_is_no_identity_is_none(values):
    assert Identity.from_dict(values) is None


def test_many_classes_are_cut_in_a_message():
    assert listed([f"c{i}" for i in range(22)]).endswith("c19 and 2 more") and listed([]) == "none"


def test_renamed_batches_have_the_numbers_of_other_names(pets):
    real = data.batches(f"folder:{pets}", 4, seed=0, size=8, channels=1)
    named = RenamedBatches(real, ("dog", "fox", "cat"), np.array([2, 0], np.int32))
    assert (named.classes, named.steps_per_epoch, named.identity) == (("dog", "fox", "cat"), 9, real.identity)
    images, labels = named[3]
    assert labels.dtype == np.int32
    assert labels.tolist() == [0 if shade % 2 else 2 for shade in images[:, 0, 0, 0]]
