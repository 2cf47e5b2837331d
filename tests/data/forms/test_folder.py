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
    assert images.shape == (1, 40, 40, 3)
    assert np.abs(images.astype(int) - [200, 100, 50]).max() <= 4  # JPEG and WebP lose a little


def by_value(name, split="train", **options):
    """The class of each image by its grey value, which tells the images apart."""
    found = data.load(name, split, **options)
    labels = [found.classes[label] if label >= 0 else None for label in found.labels]
    return dict(zip(found.images[:, 0, 0, 0].tolist(), labels, strict=True))


def paint_all(root, **values):
    """Images of one grey value each, at paths with '__' for '/'."""
    for path, value in values.items():
        paint(root / f"{path.replace('__', '/')}.png", (value,) * 3)


def test_subfolders_are_classes_and_system_files_are_left_out(tmp_path):
    paint_all(tmp_path, cat__1=1, dog__deep__2=2)
    paint(tmp_path / ".git" / "4.png", (4, 4, 4))
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    assert by_value(f"folder:{tmp_path}") == {1: "cat", 2: "dog"}


def test_loose_images_beside_classes_are_refused_or_ignored_as_told(tmp_path):
    paint_all(tmp_path, cat__1=1, dog__2=2, loose=3)
    with pytest.raises(UsageError, match=r"1 image lies beside the folders of classes.*\(loose\.png\).*loose=ignore"):
        data.load(f"folder:{tmp_path}")
    assert by_value(f"folder:{tmp_path}?loose=ignore") == {1: "cat", 2: "dog"}
    assert by_value(f"folder:{tmp_path}?loose=refuse&loose=ignore") == {1: "cat", 2: "dog"}  # the last one counts


def test_images_without_any_folder_have_no_class(tmp_path):
    paint_all(tmp_path, a=1, b=2)
    assert by_value(f"folder:{tmp_path}") == {1: None, 2: None}


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "test"), ("train", "test")),
        (("Training", "Testing"), ("train", "test")),
        (("train", "val"), ("train", "test")),
        (("train", "validation", "test"), ("train", "validation", "test")),
        (("pets/train", "pets/valid"), ("train", "test")),
    ],
)
def test_folders_of_splits_are_no_classes(tmp_path, folders, splits):
    for number, folder in enumerate(folders):
        paint_all(tmp_path / folder, cat__1=10 * number + 1, dog__2=10 * number + 2)
    name = f"folder:{tmp_path}"
    assert data.info(name).splits == dict.fromkeys(splits, 2) and data.info(name).classes == ("cat", "dog")
    for number, split in enumerate(splits):
        assert by_value(name, split) == {10 * number + 1: "cat", 10 * number + 2: "dog"}


def test_train_folder_alone_is_divided_and_train_beside_other_vehicles_is_a_class(tmp_path):
    for number in range(10):
        paint_all(tmp_path / "alone" / "train", **{f"cat__{number}": number})
    assert data.info(f"folder:{tmp_path}/alone").splits == {"train": 9, "test": 1}
    paint_all(tmp_path / "vehicles", train__1=1, bus__2=2)
    assert by_value(f"folder:{tmp_path}/vehicles") == {1: "train", 2: "bus"}


def test_folder_beside_splits_is_refused_or_ignored(tmp_path):
    paint_all(tmp_path, train__cat__1=1, test__cat__2=2, bus__3=3)
    with pytest.raises(UsageError, match=r"beside the folders of splits.*bus/3\.png"):
        data.load(f"folder:{tmp_path}")
    assert by_value(f"folder:{tmp_path}?loose=ignore") == {1: "cat"}


def test_unlabelled_test_folder_of_kaggle_never_becomes_a_class_of_minus_one(tmp_path):
    paint_all(tmp_path, test__0001=90, **{f"train__cat__{number}": number for number in range(10)})
    with pytest.raises(UsageError, match=r"test/0001\.png"):
        data.load(f"folder:{tmp_path}", "test")
    assert by_value(f"folder:{tmp_path}?loose=ignore", "test") == {9: "cat"}  # the tenth of those with a class


def test_classes_sort_as_people_count(tmp_path):
    for number, name in enumerate(("10", "2", "1", "b10", "b9", "a")):
        paint_all(tmp_path, **{f"{name}__x": number})
    assert data.info(f"folder:{tmp_path}").classes == ("1", "2", "10", "a", "b9", "b10")
    assert by_value(f"folder:{tmp_path}") == {0: "10", 1: "2", 2: "1", 3: "b10", 4: "b9", 5: "a"}


@pytest.mark.parametrize(
    ("mode", "sizes", "shape"),
    [
        ("L", [(16, 16)], (16, 16, 1)),
        ("RGB", [(16, 16)], (16, 16, 1)),  # grey all the same
        ("RGB", [(20, 12)], (12, 20, 1)),
        ("L", [(16, 16), (20, 20)], (None, None, 1)),
    ],
)
def test_size_and_channels_come_from_the_images(tmp_path, mode, sizes, shape):
    for number in range(12):
        grey = 7 if mode == "L" else (7, 7, 7)
        paint(tmp_path / f"{number}.png", grey, sizes[number % len(sizes)], mode)
    assert data.info(f"folder:{tmp_path}").shape == shape
    side = shape[0] or 32
    if shape[0] == shape[1]:
        assert data.load(f"folder:{tmp_path}").images.shape[1:] == (side, side, 1)
    paint(tmp_path / "0.png", (9, 0, 0), sizes[0])
    assert data.info(f"folder:{tmp_path}").shape == (*shape[:2], 3)


def test_large_photographs_are_loaded_small_unless_a_size_is_named(tmp_path):
    paint(tmp_path / "a.png", (200, 100, 50), (300, 200))
    assert data.load(f"folder:{tmp_path}").images.shape == (1, 64, 64, 3)
    assert data.load(f"folder:{tmp_path}", size=100).images.shape == (1, 100, 100, 3)


def test_unknown_option_is_a_usage_error_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"unknown option 'lose' .did you mean 'loose'..; it takes loose, white"):
        data.info(f"folder:{tmp_path}?lose=ignore")
    with pytest.raises(UsageError, match="loose is refuse or ignore, got 'no'"):
        data.info(f"folder:{tmp_path}?loose=no")


def test_question_mark_in_the_name_of_a_folder_divides_nothing(tmp_path):
    paint_all(tmp_path / "why?loose=ignore", a=5)
    assert by_value(f"folder:{tmp_path}/why?loose=ignore") == {5: None}


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
    assert data.load(f"folder:{tmp_path}", size=2, channels=3).images[:, 0, 0].tolist() == [[255] * 3, [128] * 3]


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
