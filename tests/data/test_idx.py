import gzip

import numpy as np
import pytest
from idx_files import idx_bytes

from jaxgen.data import idx
from jaxgen.errors import JaxgenError


def test_parse_reads_a_file_made_by_the_format():
    array = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(idx.parse(idx_bytes(array), "x"), array)


def test_serialize_writes_the_format():
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert idx.serialize(array) == b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03\0\1\2\3\4\5"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\0",  # no axes
        b"\0\0\x08\x01\0\0",  # half an axis
        b"\0\0\x08\x01\0\0\0\x03ab",  # a byte too few
        b"\0\0\x08\x01\0\0\0\x01ab",  # a byte too many
        b"\0\0\x07\x01\0\0\0\0",  # of no known type
        b"\0\0\x0d\x01\0\0\0\x01abc",  # three bytes of a float
        b"\0\0\x08\xff" + bytes(2000),
        b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_parse_of_a_damaged_file_names_it(content):
    with pytest.raises(JaxgenError, match="some-file"):
        idx.parse(content, "some-file")


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images.idx3-ubyte"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_find_knows_every_spelling(tmp_path, name, suffix):
    (tmp_path / (name + suffix)).touch()
    assert idx.find(tmp_path) == {"train-images-idx3-ubyte": tmp_path / (name + suffix)}


def test_read_of_truncated_gzip_names_the_file(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(bytes(1000))[:-9])
    with pytest.raises(JaxgenError, match=str(path)):
        idx.read(path)


def test_decompress_refuses_a_gzip_bomb(monkeypatch):
    monkeypatch.setattr(idx, "MAX_BYTES", 1000)
    assert idx.decompress(gzip.compress(bytes(1000))) == bytes(1000)
    with pytest.raises(ValueError, match="1,000"):
        idx.decompress(gzip.compress(bytes(1001)))


def test_check_of_other_content_says_expected_and_got():
    with pytest.raises(JaxgenError, match=r"f: expected SHA-256 00 .*ba7816bf"):  # FIPS 180-2's "abc"
        idx.check("f", b"abc", "00")
