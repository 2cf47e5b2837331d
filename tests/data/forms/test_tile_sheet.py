"""sheet: one image of many tiles."""

import numpy as np
import pytest
from PIL import Image

from jaxgen import data
from jaxgen.errors import JaxgenError, UsageError


def test_tiles_are_cut_row_by_row(tmp_path):
    tiles = np.random.default_rng(4).integers(0, 256, (3, 5, 4, 6, 3), np.uint8)  # rows, columns, height, width
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in tiles])
    assert sheet.shape == (12, 30, 3)
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    name = f"sheet:{tmp_path}/sheet.png?tile=6x4"
    flat = tiles.reshape(15, 4, 6, 3)
    for split, rows in (("train", [row for row in range(15) if row != 9]), ("test", [9])):
        found = data.catalog.source(name).open(split, None)
        assert np.array_equal(found.images, flat[rows]) and set(found.labels.tolist()) == {-1}
    assert data.info(name).shape == (4, 6, 3) and data.load(name, size=4).images.shape == (14, 4, 4, 3)


def test_transparent_tiles_are_left_out_and_listed(tmp_path):
    sheet = np.zeros((2, 8, 4), np.uint8)
    sheet[:, 2:4] = sheet[:, 6:] = (9, 9, 9, 255)
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    name = f"sheet:{tmp_path}/sheet.png?tile=2x2"
    assert len(data.load(name)) == 2
    assert list(data.catalog.source(name).opened().passed_over) == [f"{tmp_path}/sheet.png, tile {n}" for n in (0, 2)]
    with pytest.raises(JaxgenError, match="every tile is wholly transparent"):
        Image.fromarray(np.zeros((2, 4, 4), np.uint8)).save(tmp_path / "sheet.png")
        data.load(name)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", r"say how large a tile is.*\?tile=24x24"),
        ("?tile=24", "tile is WIDTHxHEIGHT in pixels, such as 24x24, got '24'"),
        ("?tile=0x4", "WIDTHxHEIGHT"),
        ("?tile=5x4", "its 8x4 pixels are not whole tiles of 5x4"),
        ("?tyle=4x4", "did you mean 'tile'"),
    ],
)
def test_tile_that_cannot_be_is_a_usage_error(tmp_path, query, words):
    Image.new("RGB", (8, 4)).save(tmp_path / "sheet.png")
    with pytest.raises(UsageError, match=words):
        data.info(f"sheet:{tmp_path}/sheet.png{query}")
