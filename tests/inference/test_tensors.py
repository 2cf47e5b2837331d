"""Arrays in a manifest: they come back as they were, and nothing else comes back."""

import base64
import json
import struct

import numpy as np
import pytest

from jaxgen.errors import JaxgenError
from jaxgen.images import png_bytes
from jaxgen.inference.tensors import decode, decode_images, encode, encode_images


@pytest.mark.parametrize(
    "array",
    [np.float32([[1.5, -0.0, np.inf], [np.pi, 1e-45, -3e38]]), np.arange(6).reshape(1, 2, 3), np.float32(7)],
    ids=["float32", "int64", "one number"],
)
def test_array_comes_back_as_it_was(array):
    found = decode(json.loads(json.dumps(encode(array))), "x")
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_numbers_are_little_endian_and_row_by_row():
    held = encode(np.float32([[1, 2], [3, 4]]).T)
    assert base64.b64decode(held["data"]) == struct.pack("<4f", 1, 3, 2, 4)
    assert (held["dtype"], held["shape"]) == ("float32", [2, 2])


GOOD = {"dtype": "float32", "shape": [2], "data": base64.b64encode(bytes(8)).decode()}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (None, "expected a dtype"),
        ([], "expected a dtype"),
        ({**GOOD, "dtype": "float64"}, "expected a dtype of float32, int64"),
        ({**GOOD, "dtype": ["float32"]}, "expected a dtype"),
        ({**GOOD, "shape": 2}, "expected a dtype"),
        ({**GOOD, "shape": [True, 2]}, "expected a dtype"),
        ({**GOOD, "shape": [-1, -2]}, "expected a dtype"),
        ({**GOOD, "shape": [1] * 9}, "expected a dtype"),
        ({**GOOD, "shape": [3]}, "expected 3 numbers for the shape [3], got 8 bytes"),
        ({**GOOD, "shape": [10**9, 10**9]}, "expected 1000000000000000000 numbers"),
        ({**GOOD, "data": "a"}, "is not base64"),
        ({**GOOD, "data": 8}, "is not base64"),
        ({"dtype": "float32", "shape": [2]}, "got 0 bytes"),
    ],
)
def test_anything_else_is_one_line(wrong, complaint):
    with pytest.raises(JaxgenError) as caught:
        decode(wrong, "m.onnx: x")
    assert str(caught.value).startswith("m.onnx: x: ") and complaint in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 8, 8, 1), (1, 5, 7, 3)])
def test_images_survive_the_manifest(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    texts = json.loads(json.dumps(encode_images(images)))
    assert np.array_equal(decode_images(texts), images)


def png_text(*shape: int) -> str:
    return base64.b64encode(png_bytes(np.zeros(shape, np.uint8))).decode()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "one or more"),
        ("abc", "one or more"),
        ([png_text(2, 2, 1), 7], "one or more"),
        (["abcd!"], "image 0 is not base64"),
        (["é"], "image 0 is not base64"),
        (["abcd"], "image 0: is not a PNG"),
        ([png_text(2, 2, 1)[:40]], "image 0: is not a PNG"),
        ([png_text(2, 2, 1), png_text(2, 3, 1)], "image 1: expected (2, 2, 1) as image 0, got (2, 3, 1)"),
        ([png_text(3000, 3000, 1)] * 2, "at most 8388608 pixels, got 3000 x 3000"),
    ],
)
def test_bad_images_are_refused(texts, message):
    with pytest.raises(JaxgenError) as caught:
        decode_images(texts)
    assert message in str(caught.value)
