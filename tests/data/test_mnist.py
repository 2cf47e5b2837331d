import dataclasses
import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from idx_files import write_idx

from jaxgen import data
from jaxgen.data import mnist
from jaxgen.data.cache import cache_folder
from jaxgen.errors import JaxgenError, UsageError

REAL = os.environ.get("JAXGEN_DATA_DIR")
needs_real = pytest.mark.skipif(not REAL, reason="set JAXGEN_DATA_DIR to a folder with MNIST's four IDX files")


def assert_holds(dataset, arrays, split="train"):
    prefix = {"train": "train", "test": "t10k"}[split]
    np.testing.assert_array_equal(dataset.images[..., 0], arrays[f"{prefix}-images-idx3-ubyte"])
    np.testing.assert_array_equal(dataset.labels, arrays[f"{prefix}-labels-idx1-ubyte"])
    assert dataset.images.dtype == np.uint8
    assert dataset.labels.dtype == np.int32


@pytest.mark.parametrize("subfolder", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("compress", [True, False])
def test_open_of_idx_files_gives_their_images(tmp_path, tiny, arrays, subfolder, compress):
    write_idx(tmp_path / subfolder, arrays, compress=compress, dots=not compress)
    assert_holds(tiny.open("train", tmp_path), arrays)
    assert_holds(tiny.open("test", tmp_path), arrays, "test")


def test_open_of_the_prepared_set_restores_the_published_order(tmp_path, tiny, arrays):
    write_idx(tmp_path, arrays)
    tiny.get(tmp_path)
    for path in tmp_path.glob("*ubyte*"):
        path.unlink()
    assert_holds(tiny.open("train", tmp_path), arrays)
    assert_holds(tiny.open("test", tmp_path), arrays, "test")


def test_prepared_set_is_read_by_stock_tfds(tmp_path, tiny, arrays):
    write_idx(tmp_path, arrays)
    assert tiny.get(tmp_path) == tmp_path / "mnist" / "3.0.1"
    stock = tfds.data_source("mnist", data_dir=tmp_path, split="train")
    pairs = {(record["image"].tobytes(), int(record["label"])) for record in stock}
    images, labels = arrays["train-images-idx3-ubyte"], arrays["train-labels-idx1-ubyte"]
    assert pairs == {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}
    assert "tensorflow" not in sys.modules


def test_get_again_does_not_prepare_again(tmp_path, tiny, arrays):
    write_idx(tmp_path, arrays)
    made = (tiny.get(tmp_path) / "dataset_info.json").stat()
    again = (tiny.get(tmp_path) / "dataset_info.json").stat()
    assert (again.st_ino, again.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_read_only_folder_is_left_alone_and_the_cache_is_used(tmp_path, tiny, arrays):
    folder = tmp_path / "mine"
    write_idx(folder, arrays)
    before = sorted(folder.iterdir())
    folder.chmod(0o555)
    try:
        assert tiny.get(folder) == cache_folder() / "mnist" / "3.0.1"
        assert sorted(folder.iterdir()) == before
    finally:
        folder.chmod(0o755)


def test_get_leaves_no_temporary_folder(tmp_path, tiny, arrays):
    write_idx(tmp_path / "mine", arrays)
    tiny.get(tmp_path / "mine")
    assert {path.name for path in (tmp_path / "mine").iterdir() if path.is_dir()} == {"mnist"}


def test_failure_half_way_leaves_no_prepared_set(tmp_path, tiny, arrays, monkeypatch):
    def broken(images, labels):
        yield 0, {"image": mnist.png(images[0]), "label": 0}
        raise RuntimeError("disk on fire")

    write_idx(tmp_path / "mine", arrays)
    monkeypatch.setattr(mnist, "_examples", broken)
    with pytest.raises(RuntimeError, match="disk on fire"):
        tiny.get(tmp_path / "mine")
    assert not [path for path in (tmp_path / "mine").iterdir() if path.is_dir()]


def test_changed_file_is_refused_by_name_with_both_hashes_even_beside_a_prepared_set(tmp_path, tiny, arrays):
    write_idx(tmp_path, arrays)
    tiny.get(tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(JaxgenError, match=f"{path}: expected SHA-256 {tiny.sha256['t10k-labels-idx1-ubyte']}.*, got"):
        tiny.open("train", tmp_path)


def test_prepared_set_with_other_content_is_refused(tmp_path, tiny, arrays):
    write_idx(tmp_path, arrays)
    folder = tiny.get(tmp_path)
    other = dataclasses.replace(tiny, sha256=dict.fromkeys(tiny.sha256, "0" * 64))
    for path in tmp_path.glob("*ubyte*"):
        path.unlink()
    with pytest.raises(JaxgenError, match=f"{folder}: train-images-idx3-ubyte: expected"):
        other.open("train", tmp_path)


def test_files_of_another_set_under_the_same_names_are_passed_over(tmp_path, tiny, arrays, monkeypatch):
    write_idx(tmp_path, arrays)
    fashion = dataclasses.replace(mnist.FASHION_MNIST, system_folders=())
    monkeypatch.setitem(mnist.IDX_SETS, "mnist", tiny)
    with pytest.raises(JaxgenError, match="fashion_mnist is not here and cannot be fetched"):
        fashion.get(tmp_path)


def test_info_is_ready_where_get_finds_the_set_and_not_where_its_files_are_another_ones(
    tmp_path, tiny, arrays, monkeypatch
):
    monkeypatch.setitem(mnist.IDX_SETS, "mnist", tiny)
    fashion = dataclasses.replace(mnist.FASHION_MNIST, system_folders=())

    def said() -> list[tuple[bool, str]]:
        return [(about.ready, about.problem) for about in (each.info(tmp_path) for each in (tiny, fashion))]

    assert said() == [(False, ""), (False, "")]
    write_idx(tmp_path, arrays)
    assert said() == [(True, ""), (False, "")]
    tiny.get(tmp_path)
    write_idx(tmp_path, {stem: array + 1 for stem, array in arrays.items()}, compress=True)  # of nobody
    with pytest.raises(JaxgenError, match="expected SHA-256") as refused:
        tiny.get(tmp_path)
    assert said()[0] == (False, str(refused.value))
    for path in tmp_path.glob("*ubyte*"):
        path.unlink()
    assert said()[0] == (True, "")  # what was prepared is left


def test_offline_fails_within_ten_seconds_and_says_what_to_do(tmp_path, arrays):
    write_idx(tmp_path, {k: v for k, v in arrays.items() if not k.startswith("t10k-labels")})
    start = time.perf_counter()
    with pytest.raises(JaxgenError, match="pass --data-dir FOLDER") as caught:
        data.load("mnist", data_dir=tmp_path)
    assert time.perf_counter() - start < 10
    assert "lacks t10k-labels-idx1-ubyte" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_split_is_a_usage_error(tmp_path, tiny):
    with pytest.raises(UsageError, match=r"'trian'.*did you mean 'train'"):
        tiny.open("trian", tmp_path)


def test_two_processes_that_prepare_at_once_both_get_the_set(tmp_path, tiny, arrays):
    write_idx(tmp_path, arrays)
    code = (
        "import dataclasses, sys, pathlib; from jaxgen.data.mnist import MNIST\n"
        f"print(dataclasses.replace(MNIST, sha256={dict(tiny.sha256)!r}).get(pathlib.Path(sys.argv[1])))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [run.communicate(timeout=60)[0].strip() for run in runs] == [str(tmp_path / "mnist" / "3.0.1")] * 2
    assert [run.returncode for run in runs] == [0, 0]


def test_class_names_and_version_are_those_of_tfds(tmp_path):
    stock = tfds.builder("fashion_mnist", data_dir=tmp_path)
    assert tuple(stock.info.features["label"].names) == mnist.FASHION_MNIST.classes


@needs_real
def test_real_mnist_has_the_counts_that_its_authors_state(tmp_path):
    train = data.load("mnist", data_dir=Path(REAL))
    assert train.images.shape == (60_000, 28, 28, 1)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert abs(train.images.mean() / 255 - 0.1307) < 1e-4  # the constant everybody normalises by
