import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxgen import data
from jaxgen.data import decode
from jaxgen.errors import JaxgenError, UsageError


def paint(path, color, size=(40, 40), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)


def bomb(width, height):
    """A valid PNG header that claims an image of that size; there is hardly any data behind it."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp", ".gif", ".bmp", ".tif"])
def test_every_format_is_read(tmp_path, suffix):
    paint(tmp_path / f"a{suffix}", (200, 100, 50))
    images = data.load(f"folder:{tmp_path}").images
    assert images.shape == (1, 32, 32, 3)
    assert np.abs(images.astype(int) - [200, 100, 50]).max() <= 4  # JPEG and WebP lose a little


def test_subfolders_are_classes_and_loose_images_have_none(tmp_path):
    paint(tmp_path / "cat" / "1.png", (1, 1, 1))
    paint(tmp_path / "dog" / "deep" / "2.png", (2, 2, 2))
    paint(tmp_path / "loose.png", (3, 3, 3))
    paint(tmp_path / ".git" / "4.png", (4, 4, 4))
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    dataset = data.load(f"folder:{tmp_path}")
    labels = {int(image[0, 0, 0]): int(label) for image, label in zip(dataset.images, dataset.labels, strict=True)}
    assert dataset.classes == ("cat", "dog")
    assert labels == {1: 0, 2: 1, 3: -1}


def test_split_takes_every_tenth_image_and_parts_the_set(tmp_path):
    for i in range(25):
        paint(tmp_path / f"{i:02}.png", (i, i, i), (4, 4))
    values = {s: data.load(f"folder:{tmp_path}", s).images[:, 0, 0, 0].tolist() for s in ("train", "test")}
    assert values["test"] == [9, 19]
    assert sorted(values["train"] + values["test"]) == list(range(25))
    assert data.info(f"folder:{tmp_path}").splits == {"train": 23, "test": 2}


def test_wide_image_is_cropped_to_its_middle(tmp_path):
    image = Image.new("RGB", (64, 16), (255, 0, 0))
    image.paste((0, 255, 0), (24, 0, 40, 16))
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(data.load(f"folder:{tmp_path}", size=16).images[0], np.full((16, 16, 3), (0, 255, 0)))


def test_photograph_is_turned_upright(tmp_path):
    image = Image.new("L", (2, 2), 0)
    image.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    images = data.load(f"folder:{tmp_path}", size=2, channels=1).images
    assert images[0, ..., 0].tolist() == [[0, 255], [0, 0]]


def test_transparent_is_white_and_16_bits_are_scaled(tmp_path):
    paint(tmp_path / "a.png", (9, 9, 9, 0), (2, 2), "RGBA")
    Image.fromarray(np.full((2, 2), 0x8000, np.uint16)).save(tmp_path / "b.png")
    assert data.load(f"folder:{tmp_path}", size=2).images[:, 0, 0].tolist() == [[255] * 3, [128] * 3]


def test_unreadable_image_is_named(tmp_path):
    paint(tmp_path / "good.png", (1, 2, 3))
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(JaxgenError, match=r"torn\.png: cannot be read as an image"):
        data.load(f"folder:{tmp_path}")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [8_001, 10_000, 60_000])  # under Pillow's warning, at its warning, at its error
def test_decompression_bomb_is_refused_in_one_line(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(bomb(side, side))
    with pytest.raises(JaxgenError, match=r"bomb\.png: .*(pixels are too many|exceeds limit)") as caught:
        data.load(f"folder:{tmp_path}")
    assert "\n" not in str(caught.value)
    assert decode.MAX_PIXELS < 8_001**2


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_folder_without_images_is_one_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(JaxgenError, match=name) as caught:
        data.load(f"folder:{tmp_path / name}")
    assert "\n" not in str(caught.value)


def test_folder_too_small_for_a_test_split_says_so(tmp_path):
    paint(tmp_path / "a.png", (1, 1, 1))
    with pytest.raises(JaxgenError, match="every tenth"):
        data.load(f"folder:{tmp_path}", "test")


def test_unknown_split_of_a_folder_is_a_usage_error(tmp_path):
    paint(tmp_path / "a.png", (1, 1, 1))
    with pytest.raises(UsageError, match="did you mean 'test'"):
        data.load(f"folder:{tmp_path}", "tset")
