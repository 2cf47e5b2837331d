"""The table of modes: what each kind of image file is read as, or the one line that refuses it.

PNG and TIFF files are written here by the letter of their formats, for what Pillow does not write.
"""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, features

from jaxgen.data.decode import decode, mode_of
from jaxgen.errors import JaxgenError


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(bits, kind, row, width, *, clear=None):
    """One row of pixels; kind: 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA; clear: the one transparent colour."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0))
    transparent = b"" if clear is None else chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))
    data = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + header + transparent + data + chunk(b"IEND", b"")


def tiff(values, *, bits=None, sample_format=1, white_is_zero=False, largest=None, row=None):
    """One row of grey pixels, little-endian."""
    row = row if row is not None else np.asarray(values).tobytes()
    tags = {
        256: (4, len(values)), 257: (4, 1), 258: (3, bits or np.asarray(values).dtype.itemsize * 8), 259: (3, 1),
        262: (3, 0 if white_is_zero else 1), 273: (4, 0), 277: (3, 1), 278: (4, 1), 279: (4, len(row)),
        339: (3, sample_format), **({} if largest is None else {281: (3, largest)}),
    }  # fmt: skip
    tags[273] = (4, 8 + 2 + 12 * len(tags) + 4)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + row


def pillow(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette(clear=None):
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50, 255, 255, 255])
    image.putdata([0, 1, 2])
    return pillow(image, **({} if clear is None else {"transparency": clear}))


def flat(*pixels):
    """Pixels of one row."""
    return np.array(pixels, np.uint8).reshape(1, len(pixels), -1)


GREY = flat(0, 7, 128, 255)
FLOATS = np.array([0, 0.25, 0.5, 1], np.float32)
RIGHT = {
    "grey 8": (png(8, 0, bytes([0, 7, 128, 255]), 4), GREY),
    "grey 1": (png(1, 0, b"\x50", 4), flat(0, 255, 0, 255)),
    "grey 2": (png(2, 0, b"\x1b", 4), flat(0, 85, 170, 255)),
    "grey 4": (png(4, 0, b"\x01\xef", 4), flat(0, 17, 238, 255)),
    "grey 16": (png(16, 0, struct.pack(">4H", 0, 0x0712, 0x8000, 0xFFFF), 4), GREY),
    "grey 8, one clear": (png(8, 0, bytes([7, 9]), 2, clear=[9]), flat([7, 255], [9, 0])),
    "grey 1, one clear": (png(1, 0, b"\x40", 2, clear=[1]), flat([0, 255], [255, 0])),
    "grey 2, one clear": (png(2, 0, b"\x1b", 4, clear=[1]), flat([0, 255], [85, 0], [170, 255], [255, 255])),
    "grey 4, one clear": (png(4, 0, b"\x12", 2, clear=[2]), flat([17, 255], [34, 0])),
    "grey 16, one clear": (
        png(16, 0, struct.pack(">3H", 0x1234, 0x1235, 0xFFFF), 3, clear=[0x1235]),
        flat([0x12, 255], [0x12, 0], [255, 255]),
    ),
    "grey and alpha 8": (png(8, 4, bytes([7, 128]), 1), flat([7, 128])),
    "grey and alpha 16": (png(16, 4, struct.pack(">2H", 0x0712, 0x8034), 1), flat([7, 7, 7, 128])),
    "rgb 8": (png(8, 2, bytes([1, 2, 3]), 1), flat([1, 2, 3])),
    "rgb 8, one clear": (png(8, 2, bytes([1, 2, 3, 1, 2, 4]), 2, clear=[1, 2, 3]), flat([1, 2, 3, 0], [1, 2, 4, 255])),
    "rgb 16": (png(16, 2, struct.pack(">3H", 0x0112, 0x0234, 0xFF56), 1), flat([1, 2, 255])),
    "rgba 8": (png(8, 6, bytes([1, 2, 3, 128]), 1), flat([1, 2, 3, 128])),
    "rgba 16": (png(16, 6, struct.pack(">4H", 0x0112, 0x0234, 0x0356, 0x8078), 1), flat([1, 2, 3, 128])),
    "palette": (palette(), flat([10, 20, 30], [200, 100, 50], [255, 255, 255])),
    "palette, one clear": (palette(1), flat([10, 20, 30, 255], [200, 100, 50, 0], [255, 255, 255, 255])),
    "cmyk": (pillow(Image.new("CMYK", (1, 1), (255, 0, 0, 0)), "TIFF"), flat([0, 255, 255])),
    "tiff 16": (tiff(np.array([0, 0x0712, 0x8000, 0xFFFF], "<u2")), GREY),
    "tiff 16, big-endian": (pillow(Image.frombytes("I;16B", (2, 1), b"\x07\x12\xff\xff"), "TIFF"), flat(7, 255)),
    "tiff 16, white is zero": (tiff(np.array([0, 0xF8FF, 0xFFFF], "<u2"), white_is_zero=True), flat(255, 7, 0)),
    "tiff 8, white is zero": (tiff(np.array([0, 248, 255], np.uint8), white_is_zero=True), flat(255, 7, 0)),
    "tiff 12 in 16, as it says": (tiff(np.array([0, 2048, 4095], "<u2"), largest=4095), flat(0, 128, 255)),
    "tiff 12": (tiff([0, 0], bits=12, row=b"\xff\xf0\x01"), flat(255, 0)),
    "tiff float": (tiff(FLOATS, sample_format=3), flat(0, 64, 128, 255)),
    "tiff black": (tiff(np.zeros(2, "<u2")), flat(0, 0)),
    "pgm 16": (b"P5 2 1 65535\n" + struct.pack(">2H", 0x0712, 0xFFFF), flat(7, 255)),
    "pgm 12": (b"P5 2 1 4095\n" + struct.pack(">2H", 4095, 0), flat(255, 0)),
    "pgm 4": (b"P5 2 1 15\n\x0f\x01", flat(255, 17)),
    "pbm": (b"P4 4 1\n\xa0", flat(0, 255, 0, 255)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_pixels_are_what_the_file_means(name):
    content, want = RIGHT[name]
    found = decode(content, name)
    assert found.dtype == np.uint8 and found.tolist() == want.tolist()


@pytest.mark.skipif(not features.check("littlecms2"), reason="NOT TESTED: Pillow without LittleCMS")
def test_lab_is_converted_by_its_own_white():
    content = pillow(Image.new("LAB", (1, 1), (255, 128, 128)), "TIFF")  # L = 100, a = b = 0
    assert np.abs(decode(content, "lab").astype(int) - 255).max() <= 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiff(np.array([0, 3021], "<u2")), r"from 0 to 3021 \(uint16\), .*such as 4095 or 16383 or 65535"),
        (tiff(np.array([0, 70_000], "<u4")), r"from 0 to 70000 \(uint32\), .*which value is white"),
        (tiff(np.array([0, 70_000], "<i4"), sample_format=2), r"which value is white.*data\.white"),
        (tiff(np.array([-5, 5], "<i4"), sample_format=2), "none may be negative"),
        (tiff(np.array([-5, 5], np.int8), sample_format=2), "its pixels are signed"),
        (tiff(np.array([0.5, 3], np.float32), sample_format=3), r"from 0.5 to 3 \(float32\)"),
        (tiff(np.array([0.5, np.nan], np.float32), sample_format=3), "not all finite"),
        (png(16, 2, bytes(6), 1, clear=[300, 0, 0]), "one colour of 16 bits is transparent"),
        (b"Pf 2 1 -1.0\n" + np.array([0.5, 9], "<f4").tobytes(), "which value is white"),
        (b"no image", "cannot be read as an image"),
    ],
)
def test_pixels_that_could_mean_several_things_are_refused_in_one_line(content, words):
    with pytest.raises(JaxgenError, match=words) as refused:
        decode(content, "x.tif")
    assert "\n" not in str(refused.value) and str(refused.value).startswith("x.tif: ")


@pytest.mark.parametrize(
    ("content", "white", "want"),
    [
        (tiff(np.array([0, 2048, 4095, 9999], "<u2")), 4095, [0, 128, 255, 255]),
        (tiff(np.array([0, 3021], "<u2")), 65535, [0, 11]),
        (tiff(np.array([0, 2**31, 2**32 - 1], "<u4")), 2**32 - 1, [0, 128, 255]),
        (tiff(np.array([0, 500, 1000], "<i4"), sample_format=2), 1000, [0, 128, 255]),
        (tiff(np.array([0, 6], np.float32), sample_format=3), 12, [0, 128]),
        (png(8, 0, bytes([7]), 1), 4095, [7]),
    ],
)
def test_white_can_be_named(content, white, want):
    assert decode(content, "x", white=white).ravel().tolist() == want


def test_mode_is_what_the_file_holds():
    modes = {
        name: mode_of(RIGHT[name][0], name) for name in ("grey 8", "rgb 8", "palette", "tiff 16", "tiff float", "cmyk")
    }
    assert list(modes.values()) == ["L", "RGB", "P", "I;16", "F", "CMYK"]
    with pytest.raises(JaxgenError, match="cannot be read as an image"):
        mode_of(b"", "x")
