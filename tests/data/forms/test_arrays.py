"""npz:, npy: arrays as people save them, compared with the arrays that were saved."""

import numpy as np
import pytest

from jaxgen import data
from jaxgen.errors import JaxgenError, UsageError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (25, 8, 6), np.uint8)  # not square: rows and columns cannot be mistaken
COLOUR = RNG.integers(0, 256, (25, 8, 6, 3), np.uint8)
LABELS = np.arange(25) % 3
TRAIN = [row for row in range(25) if row % 10 != 9]


def opened(name, split="train"):
    """The images as they are, uncropped, their labels and classes."""
    found = data.catalog.source(name).open(split, None)
    return found.images, found.labels.tolist(), found.classes


def test_mnist_of_keras_has_its_splits_and_labels(tmp_path):
    square = IMAGES[:, :6]
    np.savez(tmp_path / "mnist.npz", x_train=square[:20], y_train=LABELS[:20], x_test=square[20:], y_test=LABELS[20:])
    name = f"npz:{tmp_path}/mnist.npz"
    for split, rows in (("train", slice(20)), ("test", slice(20, 25))):
        images, labels, classes = opened(name, split)
        assert np.array_equal(images, square[rows, ..., None]) and labels == LABELS[rows].tolist()
        assert classes == ("0", "1", "2")
    assert data.info(name).shape == (6, 6, 1) and data.load(name).images.shape == (20, 6, 6, 1)


@pytest.mark.parametrize("images", [IMAGES, COLOUR], ids=["grey", "rgb"])
def test_medmnist_has_three_splits_and_columns_of_labels(tmp_path, images):
    parts = {"train": slice(15), "val": slice(15, 20), "test": slice(20, 25)}
    arrays = {f"{split}_images": images[rows] for split, rows in parts.items()}
    arrays |= {f"{split}_labels": LABELS[rows, None].astype(np.uint8) for split, rows in parts.items()}
    np.savez_compressed(tmp_path / "bloodmnist.npz", **arrays)
    for split, rows in parts.items():
        found, labels, _ = opened(f"npz:{tmp_path}/bloodmnist.npz", "validation" if split == "val" else split)
        assert np.array_equal(found, images[rows].reshape(*images[rows].shape[:3], -1))
        assert labels == LABELS[rows].tolist()


def test_one_set_in_an_npz_is_divided_as_a_folder_is(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.array(["cat", "dog", "bee"])[LABELS], noise=np.ones(3))
    images, labels, classes = opened(f"npz:{tmp_path}/a.npz")
    assert np.array_equal(images[..., 0], IMAGES[TRAIN]) and classes == ("bee", "cat", "dog")
    assert [classes[label] for label in labels] == [("cat", "dog", "bee")[LABELS[row]] for row in TRAIN]
    assert list(data.catalog.source(f"npz:{tmp_path}/a.npz").opened().passed_over) == [f"{tmp_path}/a.npz: noise"]


def test_keys_can_be_named_and_labels_left_out(tmp_path):
    np.savez(tmp_path / "a.npz", first=IMAGES, second=255 - IMAGES, kind=LABELS)
    name = f"npz:{tmp_path}/a.npz"
    with pytest.raises(JaxgenError, match=r"none of its keys \(first, second, kind\) is for images.*data\.images"):
        data.info(name)
    images, labels, _ = opened(f"{name}?images=second&labels=kind")
    assert np.array_equal(images[..., 0], 255 - IMAGES[TRAIN]) and labels == LABELS[TRAIN].tolist()
    assert opened(f"{name}?images=first&labels=none")[1:] == ([-1] * 23, ())
    with pytest.raises(UsageError, match=r"unknown key of .*'frist' \(did you mean 'first'\?\)"):
        data.info(f"{name}?images=frist")


@pytest.mark.parametrize(
    ("array", "want"),
    [
        (IMAGES, IMAGES[..., None]),
        (COLOUR, COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (IMAGES[:, None], IMAGES[..., None]),
        (IMAGES[..., None], IMAGES[..., None]),
        (IMAGES[:, :6].reshape(25, 36), IMAGES[:, :6, :, None]),  # as Quick, Draw! has them
    ],
    ids=["N,H,W", "N,H,W,C", "N,C,H,W", "N,1,H,W", "N,H,W,1", "N,S*S"],
)
def test_every_order_of_axes_is_recognised(tmp_path, array, want):
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(opened(f"npy:{tmp_path}/a.npy")[0], want[TRAIN])
    assert np.array_equal(opened(f"npy:{tmp_path}/a.npy?transpose=true")[0], want[TRAIN].swapaxes(1, 2))


def test_labels_beside_an_array_are_found_by_name_or_as_told(tmp_path):
    np.save(tmp_path / "X_train.npy", IMAGES), np.save(tmp_path / "y_train.npy", LABELS)
    np.save(tmp_path / "other.npy", 2 - LABELS)
    assert opened(f"npy:{tmp_path}/X_train.npy")[1] == LABELS[TRAIN].tolist()
    assert opened(f"npy:{tmp_path}/X_train.npy?labels=other.npy")[1] == (2 - LABELS)[TRAIN].tolist()
    assert opened(f"npy:{tmp_path}/X_train.npy?labels=none")[2] == ()


@pytest.mark.parametrize(
    ("array", "want"),
    [
        (IMAGES.astype(np.int64), IMAGES),
        (IMAGES.astype(np.float32), IMAGES),
        (IMAGES / 255, IMAGES),
        (IMAGES / np.float32(127.5) - 1, IMAGES),
        (IMAGES > 127, np.where(IMAGES > 127, 255, 0)),
        ((IMAGES > 127).astype(np.uint8), np.where(IMAGES > 127, 255, 0)),
        (IMAGES.astype(np.uint16) * 257, IMAGES),
    ],
    ids=["int64", "float 0..255", "0..1", "-1..1", "bool", "0 or 1", "16 bits"],
)
def test_pixels_of_a_clear_range_are_scaled(tmp_path, array, want):
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(opened(f"npy:{tmp_path}/a.npy")[0][..., 0], want[TRAIN])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (IMAGES // 16, r"from 0 to 15 \(uint8\), which does not say which value is white.*such as 15 or 255 or 1023"),
        (IMAGES.astype(np.int32) * 10, "from 0 to 25[0-9]0 .*data.white"),
        (IMAGES.astype(np.float64) - 128, "none may be negative"),
        (np.where(IMAGES > 250, np.nan, 0.5), "not all finite"),
        (IMAGES[:, 0, 0], r"expected images \[N, H, W\].*got \[25\]"),
        (IMAGES[0], r"got \[8, 6\]"),
        (np.zeros((28, 28, 600), np.uint8), "images of 28x600"),
        (np.zeros((32, 32, 3, 50), np.uint8), r"got \[32, 32, 3, 50\]"),
        (COLOUR[0], r"got \[8, 6, 3\]"),
        (IMAGES[:0], "no images"),
        (np.array(["a"] * 9).reshape(1, 3, 3), "pixels must be numbers"),
        (np.array([{}, 1], object), "pickled Python objects"),
    ],
)
def test_array_that_could_mean_several_things_is_refused_in_one_line(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(JaxgenError, match=words) as refused:
        data.info(f"npy:{tmp_path}/a.npy")
    assert "\n" not in str(refused.value) and "a.npy" in str(refused.value)


def test_white_can_be_named(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES // 16)
    want = np.rint((IMAGES[TRAIN] // 16) / 15 * 255)
    assert np.array_equal(opened(f"npy:{tmp_path}/a.npy?white=15")[0][..., 0], want)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS[:20], "25 images have 20 labels"),
        (LABELS / 2, "whole numbers or names"),
        (np.ones((25, 4), int), r"a label for each image, got int64 \[25, 4\]; labels=none"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels, words):
    np.savez(tmp_path / "a.npz", x=IMAGES, y=labels)
    with pytest.raises(JaxgenError, match=words):
        data.info(f"npz:{tmp_path}/a.npz")


def test_one_column_of_ones_for_each_class_is_a_label(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES, y=np.eye(3)[LABELS])
    assert opened(f"npz:{tmp_path}/a.npz")[1] == LABELS[TRAIN].tolist()


def test_test_split_without_labels_is_left_out_where_others_have_some(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=np.full(25, -1))
    found = data.catalog.source(f"npz:{tmp_path}/a.npz").opened()
    assert {split: len(part) for split, part in found.splits.items()} == {"train": 23, "test": 2}
    assert found.passed_over == {"split test": "without labels, and others have some"}


@pytest.mark.parametrize("form", ["npz", "npy"])
def test_damaged_or_missing_file_is_one_line(tmp_path, form):
    with pytest.raises(UsageError, match="there is no such file"):
        data.info(f"{form}:{tmp_path}/a.{form}")
    (tmp_path / f"a.{form}").write_bytes(b"PK\x03\x04 and no more" if form == "npz" else b"\x93NUMPY")
    with pytest.raises(JaxgenError, match=rf"a\.{form}: cannot be read as arrays of NumPy"):
        data.info(f"{form}:{tmp_path}/a.{form}")


def test_files_that_changed_are_read_anew(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    assert data.info(f"npy:{tmp_path}/a.npy").splits["train"] == 23
    np.save(tmp_path / "a.npy", IMAGES[:11])
    assert data.info(f"npy:{tmp_path}/a.npy").splits["train"] == 10
