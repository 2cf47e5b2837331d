"""EMNIST, KMNIST, QMNIST and USPS by name, from small files made by the letter of their formats."""

import bz2
import gzip
import struct

import numpy as np
import pytest
from idx_files import write_idx

from jaxgen import data
from jaxgen.errors import JaxgenError

RNG = np.random.default_rng(6)
IMAGES = RNG.integers(0, 256, (30, 28, 28), np.uint8)


def emnist(folder, kind, labels):
    write_idx(folder, {
        f"emnist-{kind}-train-images-idx3-ubyte": IMAGES[:20], f"emnist-{kind}-train-labels-idx1-ubyte": labels[:20],
        f"emnist-{kind}-test-images-idx3-ubyte": IMAGES[20:], f"emnist-{kind}-test-labels-idx1-ubyte": labels[20:],
    })  # fmt: skip


@pytest.mark.parametrize("place", ["", "EMNIST/raw"])
def test_letters_are_upright_and_of_26_classes(tmp_path, place):
    labels = np.arange(30) % 26 + 1  # as they are published: 1 is A
    emnist(tmp_path / place, "letters", labels)
    for name in ("emnist/letters", "emnist/letters:3.1.0"):
        found = data.load(name, data_dir=tmp_path)
        for image, stored in zip(found.images[..., 0], IMAGES[:20], strict=True):
            assert all(image[y, x] == stored[x, y] for y in (0, 3, 27) for x in (0, 5, 27))
        assert "".join(found.classes[label] for label in found.labels) == "ABCDEFGHIJKLMNOPQRST"
        assert found.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ") and found.images.flags.c_contiguous
    assert data.load("emnist/letters", "test", data_dir=tmp_path).labels[0] == 20
    assert (
        data.info("emnist/letters", data_dir=tmp_path).ready and not data.info("emnist/digits", data_dir=tmp_path).ready
    )


@pytest.mark.parametrize(
    ("kind", "labels", "text"),
    [
        ("balanced", [0, 9, 10, 35, 36, 38, 40, 42, 43, 46], "09AZadfhnt"),  # the mapping that NIST publishes
        ("byclass", [0, 9, 10, 35, 36, 61, 1, 1, 1, 1], "09AZaz1111"),
        ("digits", list(range(10)), "0123456789"),
    ],
)
def test_classes_have_the_names_of_the_published_mapping(tmp_path, kind, labels, text):
    emnist(tmp_path, kind, np.array(labels * 3))
    found = data.load(f"emnist/{kind}", data_dir=tmp_path)
    assert "".join(found.classes[label] for label in found.labels[:10]) == text


def test_labels_outside_the_classes_are_refused(tmp_path):
    emnist(tmp_path, "letters", np.arange(30))  # 0 is no letter
    with pytest.raises(JaxgenError, match="emnist/letters: its labels are from 0 to 19; replace the files"):
        data.load("emnist/letters", data_dir=tmp_path)


def test_kmnist_is_never_mistaken_for_mnist(tmp_path):
    arrays = {
        "train-images-idx3-ubyte": IMAGES[:20], "train-labels-idx1-ubyte": np.arange(20) % 10,
        "t10k-images-idx3-ubyte": IMAGES[20:], "t10k-labels-idx1-ubyte": np.arange(10),
    }  # fmt: skip
    write_idx(tmp_path, arrays)
    assert not data.info("kmnist", data_dir=tmp_path).ready
    write_idx(tmp_path / "KMNIST" / "raw", arrays)
    found = data.load("kmnist", data_dir=tmp_path)
    assert np.array_equal(found.images[..., 0], IMAGES[:20]) and found.labels.tolist() == [*range(10), *range(10)]
    assert found.classes[:3] == ("o", "ki", "su")


def test_qmnist_takes_the_class_out_of_its_columns(tmp_path):
    labels = RNG.integers(0, 10, (30, 8))
    for split, rows in (("train", slice(20)), ("test", slice(20, 30))):
        write_idx(tmp_path, {f"qmnist-{split}-images-idx3-ubyte": IMAGES[rows]})
        part = labels[rows]
        content = struct.pack(">HBBII", 0, 12, 2, len(part), 8) + part.astype(">i4").tobytes()
        (tmp_path / f"qmnist-{split}-labels-idx2-int.gz").write_bytes(gzip.compress(content))
    found = data.load("qmnist", data_dir=tmp_path)
    assert found.labels.tolist() == labels[:20, 0].tolist() and np.array_equal(found.images[..., 0], IMAGES[:20])


def test_usps_is_read_from_its_lines_of_text(tmp_path):
    greys = RNG.integers(0, 256, (12, 256))
    lines = [
        f"{row % 10 + 1} " + " ".join(f"{place}:{grey / 127.5 - 1:.6f}" for place, grey in enumerate(image, 1))
        for row, image in enumerate(greys)
    ]
    (tmp_path / "usps.bz2").write_bytes(bz2.compress("\n".join(lines[:9]).encode()))
    (tmp_path / "usps.t").write_text("\n".join(lines[9:]))
    train, test = data.load("usps", data_dir=tmp_path), data.load("usps", "test", data_dir=tmp_path)
    assert np.array_equal(train.images, greys[:9].reshape(9, 16, 16, 1)) and train.labels.tolist() == list(range(9))
    assert np.array_equal(test.images, greys[9:].reshape(3, 16, 16, 1)) and test.labels.tolist() == [9, 0, 1]
    (tmp_path / "usps.t").write_text("no such lines")
    with pytest.raises(JaxgenError, match=r"usps\.t: cannot be read as a file of USPS"):
        data.load("usps", "test", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["qmnist", "usps"])
def test_set_that_nobody_prepares_says_which_files_to_put_where(tmp_path, name):
    with pytest.raises(
        JaxgenError, match=rf"{name} is not here; put its files \({name}.* pass --data-dir FOLDER"
    ) as refused:
        data.get(name, data_dir=tmp_path)
    assert "\n" not in str(refused.value)


def test_prepared_set_of_tfds_is_turned_upright_and_numbered_from_a(tmp_path):
    from tensorflow_datasets.image_classification import mnist as stock

    from jaxgen.data.tfds_writer import png, prepare

    def examples(rows):
        for row in rows:
            yield row, {"image": png(IMAGES[row, ..., None]), "label": row % 26 + 1}

    class Letters(stock.EMNIST, skip_registration=True):
        name = "emnist"
        BUILDER_CONFIGS = [each for each in stock.EMNIST.BUILDER_CONFIGS if each.name == "letters"]  # noqa: RUF012

    prepare(Letters, {"train": examples(range(20)), "test": examples(range(20, 30))}, tmp_path)
    assert data.info("emnist/letters", data_dir=tmp_path).ready
    found = data.load("emnist/letters", data_dir=tmp_path)
    pairs = {
        (image.tobytes(), found.classes[label]) for image, label in zip(found.images[..., 0], found.labels, strict=True)
    }
    assert pairs == {(IMAGES[row].T.tobytes(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[row]) for row in range(20)}
