"""idx: sets in MNIST's format under any names, written by the letter of the format."""

import gzip
import struct

import numpy as np
import pytest
from idx_files import idx_bytes, write_idx

from jaxgen import data
from jaxgen.errors import JaxgenError, UsageError

RNG = np.random.default_rng(2)
IMAGES = RNG.integers(0, 256, (30, 8, 6), np.uint8)
LABELS = np.arange(30) % 4


def opened(name, split="train"):
    found = data.catalog.source(name).open(split, None)
    return found.images[..., 0], [found.classes[label] if label >= 0 else None for label in found.labels]


@pytest.fixture(params=["", "emnist-letters-", "my.set-"])
def prefix(request, tmp_path):
    """Two splits of files whose names begin so."""
    arrays = {
        "train-images-idx3-ubyte": IMAGES[:20], "train-labels-idx1-ubyte": LABELS[:20] + 1,
        "test-images-idx3-ubyte": IMAGES[20:], "test-labels-idx1-ubyte": LABELS[20:] + 1,
    }  # fmt: skip
    arrays = arrays if request.param else {key.replace("test", "t10k"): value for key, value in arrays.items()}
    write_idx(tmp_path, {request.param + key: value for key, value in arrays.items()}, compress=not request.param)
    return request.param


def test_folder_and_file_give_both_splits(prefix, tmp_path):
    ending = "" if prefix else ".gz"
    for name in (f"idx:{tmp_path}", f"idx:{tmp_path}/{prefix}train-images-idx3-ubyte{ending}"):
        for split, rows in (("train", slice(20)), ("test", slice(20, 30))):
            images, labels = opened(name, split)
            assert np.array_equal(images, IMAGES[rows])
            assert labels == [str(label + 1) for label in LABELS[rows]]
    assert np.array_equal(opened(f"idx:{tmp_path}?transpose=true")[0], IMAGES[:20].swapaxes(1, 2))
    assert opened(f"idx:{tmp_path}?labels=none")[1] == [None] * 20


def test_several_sets_in_one_folder_are_told_apart_by_a_file(tmp_path):
    for prefix in ("emnist-digits-", "emnist-letters-"):
        write_idx(tmp_path, {f"{prefix}train-images-idx3-ubyte": IMAGES}, compress=False)
    with pytest.raises(UsageError, match=r"several sets of IDX files .emnist-digits-, emnist-letters-.; name a file"):
        data.info(f"idx:{tmp_path}")
    assert data.info(f"idx:{tmp_path}/emnist-digits-train-images-idx3-ubyte").splits == {"train": 27, "test": 3}


def test_file_of_any_name_and_labels_of_four_bytes_are_read(tmp_path):
    (tmp_path / "pictures").write_bytes(idx_bytes(IMAGES))
    assert np.array_equal(opened(f"idx:{tmp_path}/pictures")[0][:9], IMAGES[:9])
    write_idx(tmp_path / "a", {"train-images-idx3-ubyte": IMAGES}, compress=False)
    labels = struct.pack(">HBBI", 0, 12, 1, 30) + LABELS.astype(">i4").tobytes()
    (tmp_path / "a" / "train-labels-idx1-int.gz").write_bytes(gzip.compress(labels))
    assert opened(f"idx:{tmp_path}/a")[1][:5] == ["0", "1", "2", "3", "0"]


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08\x03", idx_bytes(IMAGES)[:-1], gzip.compress(idx_bytes(IMAGES))[:-9]]
)
def test_torn_file_is_one_line(tmp_path, content):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(JaxgenError, match=r"train-images-idx3-ubyte: (not a whole|cannot be read as an) IDX file"):
        data.info(f"idx:{tmp_path}")


def test_folder_without_idx_files_is_one_line(tmp_path):
    with pytest.raises(JaxgenError, match="no IDX files of images here"):
        data.info(f"idx:{tmp_path}")
    with pytest.raises(UsageError, match="no such file or folder"):
        data.info(f"idx:{tmp_path}/nowhere")


def test_files_in_the_names_of_mnist_that_are_others_are_pointed_to(tmp_path):
    write_idx(tmp_path, {
        "train-images-idx3-ubyte": np.zeros((9, 28, 28)), "train-labels-idx1-ubyte": np.zeros(9),
        "t10k-images-idx3-ubyte": np.zeros((9, 28, 28)), "t10k-labels-idx1-ubyte": np.zeros(9),
    })  # fmt: skip
    with pytest.raises(JaxgenError, match=rf"expected SHA-256.*if it is a set of your own: --dataset idx:{tmp_path}$"):
        data.load("mnist", data_dir=tmp_path)
