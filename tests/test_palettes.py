"""Palettes: which colours there are, the nearest by Pillow and by hand, and files of every form."""

import json

import numpy as np
import pytest
import scipy.spatial.distance
from PIL import Image

from jaxgen import palettes
from jaxgen.errors import JaxgenError, UsageError

RNG = np.random.default_rng(0)
FEW = np.array([[0, 0, 0], [99, 133, 150], [255, 255, 255], [255, 0, 0]], np.uint8)


def art(palette: np.ndarray, count: int = 5) -> np.ndarray:
    return palette[RNG.integers(0, len(palette), (count, 6, 6))]


def test_palette_of_images_is_what_pillow_counts():
    images = RNG.integers(0, 5, (3, 6, 6, 3), np.uint8) * 50
    counted = Image.fromarray(images.reshape(-1, 6, 3)).getcolors(1000)
    assert palettes.to_text(palettes.of_images(images)) == sorted(f"#{bytes(colour).hex()}" for _, colour in counted)


@pytest.mark.parametrize(("count", "part"), [(256, 7), (256, 2**16), (257, 7), (257, 2**16)])
def test_palette_has_at_most_256_colours(count, part, monkeypatch):
    monkeypatch.setattr(palettes, "PART", part)
    colours = np.stack([np.arange(count) // 16, np.arange(count) % 16, np.full(count, 9)], -1).astype(np.uint8)
    found = palettes.of_images(RNG.permutation(colours).reshape(1, count, 1, 3))
    assert found is None if count > 256 else (found == colours).all()


@pytest.mark.parametrize(("levels", "found"), [(255, True), (256, False)])
def test_every_grey_there_is_makes_no_palette(levels, found):
    images = np.arange(levels, dtype=np.uint8).reshape(1, levels, 1, 1)
    assert (palettes.of_images(images) is not None) == found


def test_images_of_other_channels_have_no_palette():
    assert palettes.of_images(np.zeros((2, 3, 3, 4), np.uint8)) is None


@pytest.mark.parametrize("part", [7, 2**16])
def test_pixel_becomes_the_nearest_colour(part, monkeypatch):
    monkeypatch.setattr(palettes, "PART", part)
    images = RNG.integers(0, 256, (4, 5, 6, 3), np.uint8)
    far = scipy.spatial.distance.cdist(images.reshape(-1, 3), FEW)
    snapped, shares = palettes.snapped(images, FEW)
    np.testing.assert_array_equal(snapped.reshape(-1, 3), FEW[far.argmin(1)])
    np.testing.assert_array_equal(shares, (far.min(1) <= palettes.TOLERANCE).reshape(4, -1).mean(1))


def test_share_counts_pixels_within_the_tolerance():
    near = art(FEW, 2)
    near[0, 0, 0] = (103, 136, 152)  # 4, 3 and 2 from its colour: 5.4
    near[0, 0, 1] = (104, 137, 152)  # 5, 4 and 2: 6.7
    near[0, 1:], near[1] = 0, 255
    assert near[0, 0, 2:].shape == (4, 3)
    snapped, shares = palettes.snapped(near, FEW)
    assert shares.tolist() == [35 / 36, 1]
    assert (snapped[0, 0, :2] == FEW[1]).all()


def test_snapped_images_stay_as_they_are():
    images = art(FEW)
    snapped, shares = palettes.snapped(images, FEW)
    np.testing.assert_array_equal(snapped, images)
    assert (snapped.dtype, shares.tolist()) == (np.uint8, [1] * 5)


def test_grey_images_take_greys_alone():
    images = np.array([3, 200], np.uint8).reshape(1, 1, 2, 1)
    greys = palettes.of_text(["000000", "808080", "ffffff"], "greys")
    assert palettes.snapped(images, greys)[0].ravel().tolist() == [0, 255]
    with pytest.raises(UsageError, match=r"^the images are grey, and the palette has colours that are not$"):
        palettes.snapped(images, FEW)


# --- files


@pytest.mark.parametrize(
    "text",
    [
        "#000000\n#638596\n#FFFFFF\n#ff0000\n",
        "; punks\nff0000 638596 ; and\r\n000000\tffffff\r\nffffff",
        '["#000000", "638596", "#ffffff", "#ff0000"]',
        '\ufeff ["#000000", "638596", "#ffffff", "#ff0000"]',
    ],
)
def test_text_and_json_hold_the_same_colours(tmp_path, text):
    path = tmp_path / "colours"
    path.write_text(text, "utf-8")
    assert palettes.to_text(palettes.read(path)) == ["#000000", "#638596", "#ff0000", "#ffffff"]


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_png_gives_the_colours_of_its_opaque_pixels(tmp_path, mode):
    image = Image.fromarray(np.concatenate([art(FEW, 1)[0], FEW[[0, 1, 2, 3, 0, 1]][None]]))
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    if mode == "RGBA":
        image.putpixel((0, 0), (1, 2, 3, 0))
        image.putpixel((1, 0), (1, 2, 3, 128))
    image.save(tmp_path / "a.png")
    assert palettes.to_text(palettes.read(tmp_path / "a.png")) == ["#000000", "#638596", "#ff0000", "#ffffff"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", b"", "expected a palette of 1 to 256 colours, got 0"),
        ("a.txt", b"; none\n", "expected a palette of 1 to 256 colours, got 0"),
        ("a.txt", b"#12345", "expected a colour such as #638596, got '#12345'"),
        ("a.txt", b"red", "expected a colour such as #638596, got 'red'"),
        ("a.txt", " ".join(f"{i:06x}" for i in range(257)).encode(), "1 to 256 colours, got 257"),
        ("a.txt", b"\xff\xfe\x00", "is no palette"),
        ("a.txt", b"0" * (2**20 + 1), "is no palette"),
        ("a.json", b'["#000000", 7]', "expected a colour such as #638596, got 7"),
        ("a.json", b'["#000000"', "is no palette"),
        ("a.json", b"[" * 100_000, "is no palette"),
        ("a.json", b'{"a": 1}', "expected a list of colours such as #638596"),
        ("a.png", b"\x89PNG, as it were", "is no PNG, is damaged or too large"),
    ],
)  # fmt: skip
def test_file_that_is_no_palette_gets_one_line(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(JaxgenError, match=complaint) as refused:
        palettes.read(tmp_path / name)
    assert str(refused.value).startswith(f"{tmp_path / name}: ") and "\n" not in str(refused.value)


def test_png_of_no_palette_says_why(tmp_path):
    Image.fromarray(np.arange(3 * 257, dtype=np.uint16).astype(np.uint8).reshape(1, 257, 3)).save(tmp_path / "few.png")
    many = np.stack([np.arange(300) % 256, np.arange(300) // 256, np.zeros(300)], -1).astype(np.uint8)[None]
    Image.fromarray(many).save(tmp_path / "many.png")
    Image.new("RGBA", (3, 3)).save(tmp_path / "clear.png")
    assert len(palettes.read(tmp_path / "few.png")) <= 256
    for name, got in (("many.png", "more"), ("clear.png", "none")):
        with pytest.raises(JaxgenError, match=rf"opaque pixels of an image to have 1 to 256 colours, got {got}$"):
            palettes.read(tmp_path / name)
    with pytest.raises(JaxgenError, match="no such file"):
        palettes.read(tmp_path / "none.txt")


def test_palette_survives_its_text():
    text = palettes.to_text(FEW)
    assert json.loads(json.dumps(text)) == text
    np.testing.assert_array_equal(palettes.of_text(text, "few"), np.unique(FEW, axis=0))
