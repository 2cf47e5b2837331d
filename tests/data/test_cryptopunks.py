import hashlib

import numpy as np
import pytest
from PIL import Image

from jaxgen import data
from jaxgen.data.catalog import SOURCES
from jaxgen.data.cryptopunks import CryptoPunks
from jaxgen.errors import JaxgenError

BACKGROUND = [0x63, 0x85, 0x96]


@pytest.fixture
def sheet(tmp_path):
    """A sheet of 4 rows and 5 columns; tile k is opaque and has the value k."""
    pixels = np.zeros((4 * 24, 5 * 24, 4), np.uint8)
    for k in range(20):
        row, column = divmod(k, 5)
        pixels[row * 24 : row * 24 + 24, column * 24 : column * 24 + 24] = (k, k, k, 255)
    pixels[0, 0] = (255, 255, 255, 0)  # the corner of tile 0 is transparent
    path = tmp_path / "punks.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def punks(sheet):
    return CryptoPunks(hashlib.sha256(sheet.read_bytes()).hexdigest())


def test_open_serves_each_punk_in_order_at_its_own_size(sheet, punks):
    images = punks.open("train", sheet.parent).images
    assert images.shape == (18, 24, 24, 3)
    assert images[:, 16, 16, 0].tolist() == [k for k in range(20) if k not in (9, 19)]
    assert (images[5] == 5).all()
    assert images[0, 0, 0].tolist() == BACKGROUND  # seen through the hole


@pytest.mark.parametrize(("size", "times", "border"), [(24, 1, 0), (28, 1, 2), (32, 1, 4), (48, 2, 0), (64, 2, 8)])
def test_larger_punks_repeat_their_pixels_within_a_border(sheet, punks, monkeypatch, size, times, border):
    monkeypatch.setitem(SOURCES, "cryptopunks", punks)
    images = data.load("cryptopunks", data_dir=sheet.parent, size=size).images
    assert images.shape == (18, size, size, 3)
    inside = np.zeros((size, size), bool)
    inside[border : size - border, border : size - border] = True
    assert (images[5][inside] == 5).all() and (images[5][~inside] == BACKGROUND).all()
    hole = images[0][border : border + times, border : border + times]  # the corner of tile 0
    assert (hole == BACKGROUND).all() and images[0, border + times, border + times].tolist() == [0, 0, 0]


def test_smaller_punks_are_resampled(sheet, punks, monkeypatch):
    monkeypatch.setitem(SOURCES, "cryptopunks", punks)
    images = data.load("cryptopunks", data_dir=sheet.parent, size=12, channels=1).images
    assert images.shape == (18, 12, 12, 1) and (images[5] == 5).all()


def test_test_split_is_every_tenth_punk(sheet, punks):
    dataset = punks.open("test", sheet.parent)
    assert dataset.images[:, 16, 16, 0].tolist() == [9, 19]
    assert dataset.labels.tolist() == [-1, -1]
    assert dataset.classes == ()


def test_prepared_punks_need_no_sheet(sheet, punks):
    folder = punks.get(sheet.parent)
    sheet.unlink()
    assert punks.get(sheet.parent) == folder == sheet.parent / "cryptopunks" / "1.0.0"
    assert len(punks.open("train", sheet.parent)) == 18


def test_sheet_with_the_wrong_hash_is_refused(sheet):
    with pytest.raises(JaxgenError, match=rf"{sheet}: expected SHA-256 ac39af.*got [0-9a-f]{{64}}"):
        data.get("cryptopunks", data_dir=sheet.parent)


def test_no_sheet_says_what_to_do(tmp_path):
    with pytest.raises(JaxgenError, match=r"punks\.png.*--data-dir"):
        data.get("cryptopunks", data_dir=tmp_path)
