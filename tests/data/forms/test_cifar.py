"""CIFAR's folders: records made by hand, and pickles as their authors' Python 2 and today's write them."""

import pickle

import numpy as np
import pytest

from jaxgen import data
from jaxgen.data.forms import pickled
from jaxgen.errors import JaxgenError, UsageError

RNG = np.random.default_rng(3)
ROWS = RNG.integers(0, 256, (5, 4, 3072), np.uint8)  # five batches of four images
TEST = RNG.integers(0, 256, (2, 3072), np.uint8)
LABELS = np.arange(20).reshape(5, 4) % 10
NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905


def red_green_blue(rows):
    """A record by its definition, pixel by pixel: 1,024 red bytes, row by row, then green, then blue."""
    images = np.empty((len(rows), 32, 32, 3), np.uint8)
    for y in range(32):
        for x in range(32):
            images[:, y, x] = rows[:, [32 * y + x, 1024 + 32 * y + x, 2048 + 32 * y + x]]
    return images


def require_same(name):
    train = data.load(name)
    assert np.array_equal(train.images, red_green_blue(ROWS.reshape(20, 3072)))
    assert train.labels.tolist() == LABELS.ravel().tolist() and train.classes == tuple(NAMES)
    test = data.load(name, "test")
    assert np.array_equal(test.images, red_green_blue(TEST)) and test.labels.tolist() == [3, 8]


def test_folder_for_c_is_read_record_by_record(tmp_path):
    for number, (rows, labels) in enumerate(zip(ROWS, LABELS, strict=True), 1):
        records = [bytes([label]) + row.tobytes() for row, label in zip(rows, labels, strict=True)]
        (tmp_path / f"data_batch_{number}.bin").write_bytes(b"".join(records))
    (tmp_path / "test_batch.bin").write_bytes(b"\x03" + TEST[0].tobytes() + b"\x08" + TEST[1].tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    require_same(f"cifar:{tmp_path}")
    (tmp_path / "data_batch_2.bin").write_bytes(bytes(3000))
    with pytest.raises(JaxgenError, match=r"data_batch_2\.bin: expected records of 3,073 bytes, got 3,000"):
        data.load(f"cifar:{tmp_path}")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_folder_for_python_is_read_without_unpickling(tmp_path, protocol, monkeypatch):
    parts = [(f"data_batch_{n}", *part) for n, part in enumerate(zip(ROWS, LABELS, strict=True), 1)]
    for name, rows, labels in [*parts, ("test_batch", TEST, np.array([3, 8]))]:
        values = {b"batch_label": name.encode(), b"labels": labels.tolist(), b"data": rows, b"filenames": [b"x.png"]}
        (tmp_path / name).write_bytes(pickle.dumps(values, protocol))
    meta = {b"num_cases_per_batch": 4, b"label_names": NAMES, b"num_vis": 3072}
    (tmp_path / "batches.meta").write_bytes(pickle.dumps(meta, protocol))
    monkeypatch.setattr(pickle, "loads", None), monkeypatch.setattr(pickle, "Unpickler", None)
    require_same(f"cifar:{tmp_path}")


def test_hundred_classes_are_the_fine_ones(tmp_path):
    images = np.concatenate([ROWS[0], ROWS[1]])
    records = [bytes([7, label]) + row.tobytes() for label, row in enumerate(images)]
    (tmp_path / "train.bin").write_bytes(b"".join(records)), (tmp_path / "test.bin").write_bytes(records[5])
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"fine{n}" for n in range(100)))
    assert data.load(f"cifar:{tmp_path}").labels.tolist() == list(range(8))
    assert data.load(f"cifar:{tmp_path}", "test").labels.tolist() == [5]
    assert np.array_equal(data.load(f"cifar:{tmp_path}").images, red_green_blue(images))


def test_pickle_of_python_2_is_read():
    # cPickle.dumps({'data': array of [[1, 2], [3, 4]], 'labels': [6, 9]}, 2), byte by byte as Python 2.7 wrote it
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85"
        b"U\x01b\x87Rq\x05(K\x01K\x02K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x01\x02\x03\x04tbU\x06labelsq\x08]q\t(K\x06K\teu."
    )
    values = pickled.read(content)
    assert values["data"].tolist() == [[1, 2], [3, 4]] and values["labels"] == [6, 9]


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('it ran')",))


@pytest.mark.parametrize("values", [{"data": Evil()}, Evil(), {"data": np.arange(3.0)}, {"data": {1, 2}}])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickle_that_would_run_something_or_holds_something_else_is_refused(tmp_path, values, protocol):
    for name in ("data_batch_1", "batches.meta"):
        (tmp_path / name).write_bytes(pickle.dumps(values, protocol))
    with pytest.raises(JaxgenError, match=r"cannot be read as one of CIFAR's files") as refused:
        data.info(f"cifar:{tmp_path}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"\x80\x02}", b"no pickle", b"(.", b"h\x05.", b"\x80\x02Rb."])
def test_torn_pickle_is_a_value_error(content):
    with pytest.raises(ValueError):
        pickled.read(content)


def test_folder_of_something_else_is_one_line(tmp_path):
    with pytest.raises(JaxgenError, match="no files of CIFAR-10 or CIFAR-100 here"):
        data.info(f"cifar:{tmp_path}")
    with pytest.raises(UsageError, match="no files of CIFAR-10"):
        data.info(f"cifar:{tmp_path}/nowhere")
