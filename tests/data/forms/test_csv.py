"""csv: tables of pixels, written here by the letter, in the forms that are published."""

import gzip

import numpy as np
import pytest

from jaxgen import data
from jaxgen.errors import JaxgenError, UsageError

RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (25, 6, 6), np.uint8)
IMAGES[:, 0, 0] = IMAGES[:, -1, -1] = 0  # corners, as MNIST's
LABELS = [7, 10, 2] * 8 + [7]
TRAIN = [row for row in range(25) if row % 10 != 9]
PIXELS = [f"pixel{number}" for number in range(36)]


def write(path, header, columns, mark=","):
    """columns: of each row, its cells before the pixels and those after."""
    lines = [mark.join(header)] if header is not None else []
    for row, image in enumerate(IMAGES):
        before, after = ([str(cell[row]) for cell in cells] for cells in columns)
        lines.append(mark.join([*before, *map(str, image.ravel().tolist()), *after]))
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return f"csv:{path}"


def opened(name, split="train"):
    found = data.catalog.source(name).open(split, None)
    return found.images[..., 0], [found.classes[label] if label >= 0 else None for label in found.labels]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (["label", *PIXELS], ([LABELS], [])),  # Kaggle's train.csv
        (None, ([LABELS], [])),  # mnist_train.csv
        (["label", *(f"{row}x{column}" for row in range(1, 7) for column in range(1, 7))], ([LABELS], [])),
        (["36"] + [""] * 36, ([LABELS], [])),  # a public file begins 784,,,
        ([*PIXELS, "class"], ([], [LABELS])),  # OpenML's
        (None, ([], [LABELS])),
        (["", "label", *PIXELS], ([range(25), LABELS], [])),  # an index that pandas wrote
        (["digit?", *PIXELS], ([LABELS], [])),
    ],
    ids=["header", "no header", "1x1", "784,,,", "class last", "last", "index", "other name"],
)
def test_published_forms_give_their_pixels_and_labels(tmp_path, header, columns):
    images, labels = opened(write(tmp_path / "a.csv", header, columns))
    assert np.array_equal(images, IMAGES[TRAIN])
    assert labels == [str(LABELS[row]) for row in TRAIN]
    assert data.info(f"csv:{tmp_path}/a.csv").classes == ("2", "7", "10")


def test_table_without_labels_has_none(tmp_path):
    images, labels = opened(write(tmp_path / "a.csv", PIXELS, ([], [])))
    assert np.array_equal(images, IMAGES[TRAIN]) and labels == [None] * 23


def test_labels_may_be_text_and_named_and_left_out(tmp_path):
    words = ['"a cat"' if label == 2 else "dog" for label in LABELS]
    name = write(tmp_path / "a.csv", ["kind", "label", *PIXELS], ([words, LABELS], []))
    with pytest.raises(UsageError, match=r"37 columns are not the pixels of a square.*data\.labels=COLUMN"):
        data.info(f"{name}?labels=kind")
    name = write(tmp_path / "b.csv", ["kind", *PIXELS], ([words], []))
    assert opened(name)[1] == ["a cat" if LABELS[row] == 2 else "dog" for row in TRAIN]
    assert opened(f"{name}?labels=kind")[1] == opened(name)[1]
    images, labels = opened(f"{name}?labels=none")
    assert np.array_equal(images, IMAGES[TRAIN]) and set(labels) == {None}


@pytest.mark.parametrize(("name", "mark"), [("a.csv.gz", ","), ("a.tsv", "\t"), ("a.csv", ";")])
def test_packed_tables_and_other_marks_are_read(tmp_path, name, mark):
    images, labels = opened(write(tmp_path / name, ["label", *PIXELS], ([LABELS], []), mark))
    assert np.array_equal(images, IMAGES[TRAIN]) and labels[:3] == ["7", "10", "2"]


def test_transposed_table_is_turned(tmp_path):
    images, _ = opened(write(tmp_path / "emnist.csv", None, ([LABELS], [])) + "?transpose=true")
    assert np.array_equal(images, IMAGES[TRAIN].swapaxes(1, 2))


def test_folder_of_two_tables_has_two_splits(tmp_path):
    write(tmp_path / "sign_mnist_train.csv", ["label", *PIXELS], ([LABELS], []))
    write(tmp_path / "sign_mnist_test.csv", ["label", *PIXELS], ([[9] * 25], []))
    assert opened(f"csv:{tmp_path}", "test")[1] == ["9"] * 25 and len(opened(f"csv:{tmp_path}")[0]) == 25
    assert data.info(f"csv:{tmp_path}").classes == ("2", "7", "9", "10")
    write(tmp_path / "notes.csv", ["label", *PIXELS], ([LABELS], []))
    with pytest.raises(UsageError, match=r"notes\.csv names no split"):
        data.info(f"csv:{tmp_path}")


def test_test_table_of_kaggle_without_labels_is_left_out(tmp_path):
    write(tmp_path / "train.csv", ["label", *PIXELS], ([LABELS], []))
    write(tmp_path / "test.csv", PIXELS, ([], []))
    assert data.info(f"csv:{tmp_path}").splits == {"train": 23, "test": 2}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"label,a,b\n1,2,3\n", "2 columns are not the pixels of a square"),
        (b"label,p1,p2,p3,p4\n1,2,3,4,x\n", "cannot be read as a table of pixels"),
        (b"label,p1,p2,p3,p4\n1,2,3,4\n", "cannot be read as a table of pixels"),
        (b"\xff\xfe\x00\x81", "cannot be read as a table"),
        (b"1,3,3,3,3\n2,5,5,5,5\n", "which value is white"),
    ],
)
def test_table_of_something_else_is_one_line(tmp_path, content, words):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(JaxgenError, match=words) as refused:
        data.info(f"csv:{tmp_path}/a.csv")
    assert "\n" not in str(refused.value) and "a.csv" in str(refused.value)
