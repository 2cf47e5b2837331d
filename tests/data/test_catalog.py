import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxgen import data
from jaxgen.data.cache import cache_folder
from jaxgen.data.catalog import absolute
from jaxgen.errors import JaxgenError, MissingExtra, UsageError


def test_import_loads_no_data_library():
    heavy = {"jax", "tensorflow_datasets", "tensorflow", "sklearn", "grain", "torch"}
    code = f"import jaxgen.data, sys; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_digits_splits_part_the_set_of_sklearn_with_30_test_digits_a_class():
    train, test = data.load("digits"), data.load("digits", "test")
    assert (len(train), len(test)) == (1497, 300)
    assert np.bincount(test.labels).tolist() == [30] * 10
    both = np.concatenate([train.images, test.images])[..., 0]
    raw = np.rint(load_digits().images * 255 / 16)
    assert sorted(image.tobytes() for image in both) == sorted(image.astype(np.uint8).tobytes() for image in raw)


def test_digits_for_testing_come_from_the_whole_file():
    images = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    where = {image.tobytes(): row for row, image in enumerate(images)}
    rows = [where[image.tobytes()] for image in data.load("digits", "test").images[..., 0]]
    assert np.histogram(rows, 3, (0, len(images)))[0].min() >= 80  # of 300: neighbours are by the same writer


def test_digits_have_the_labels_of_sklearn():
    raw = load_digits()
    labels = dict(zip((i.tobytes() for i in np.rint(raw.images * 255 / 16).astype(np.uint8)), raw.target, strict=True))
    train = data.load("digits")
    assert [labels[image.tobytes()] for image in train.images[..., 0]] == train.labels.tolist()


def test_load_makes_to_measure():
    assert data.load("digits", size=16, channels=3).images.shape == (1497, 16, 16, 3)


def test_digits_need_no_place():
    assert data.get("digits") is None


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist", "cryptopunks"])
def test_info_of_each_name_describes_it(name):
    about = data.info(name)
    assert about.name == name
    assert about.title and about.source
    assert set(about.splits) == {"train", "test"}


def test_info_of_digits_agrees_with_what_is_loaded():
    about, train = data.info("digits"), data.load("digits")
    assert about.shape == train.images.shape[1:]
    assert about.classes == train.classes
    assert about.splits["train"] == len(train)


def test_names_are_those_that_need_no_tfds():
    assert data.names()[:4] == ["digits", "mnist", "fashion_mnist", "cryptopunks"]
    assert set(data.names()[4:]) == {
        "emnist/letters", "emnist/balanced", "emnist/digits", "emnist/byclass", "emnist/bymerge", "emnist/mnist",
        "kmnist", "qmnist", "usps",
    }  # fmt: skip


def test_files_of_the_right_names_alone_are_not_ready_and_the_reason_is_that_of_get(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(tmp_path))
    assert (data.info("mnist").ready, data.info("mnist").problem) == (False, "")
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{stem}-ubyte").touch()
    (tmp_path / "punks.png").touch()
    for name in ("mnist", "fashion_mnist", "cryptopunks"):
        about = data.info(name)
        with pytest.raises(JaxgenError, match="expected SHA-256") as refused:
            data.get(name)
        assert (about.ready, about.problem) == (False, str(refused.value))


@pytest.mark.parametrize(
    ("name", "folder", "want"),
    [
        ("digits", "/somewhere", "digits"),
        ("folder:pets", "/somewhere", "folder:/somewhere/pets"),
        ("folder:/pets", "/somewhere", "folder:/pets"),
        ("folder:~/pets", "/somewhere", "folder:/home/me/pets"),
        ("mnist:3.0.1", "/somewhere", "mnist:3.0.1"),
        ("folder:pets", None, "folder:{here}/pets"),
    ],
)
def test_path_of_a_dataset_is_the_same_from_anywhere(name, folder, want, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    assert absolute(name, folder and Path(folder)) == want.format(here=tmp_path)


def test_cache_folder_follows_xdg(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "jaxgen"


@pytest.mark.parametrize("options", [{"size": 0}, {"size": -3}, {"channels": 2}])
def test_measures_that_cannot_be_are_usage_errors(options):
    with pytest.raises(UsageError):
        data.load("digits", **options)


def test_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtra, match=r"in the folder of jaxgen: pip install .* '\.\[train\]'"):
        data.load("digits")


@pytest.mark.parametrize(
    ("name", "hint"), [("mnits", "'mnist'"), ("crypto_punks", "'cryptopunks'"), ("cifar12", "cifar1")]
)
def test_unknown_name_suggests_the_nearest_of_ours_and_of_tfds(name, hint):
    with pytest.raises(UsageError, match=rf"unknown dataset '{name}' \(did you mean .*{hint}"):
        data.load(name)


def test_unprepared_tfds_set_fails_fast_and_says_what_to_do(tmp_path):
    with pytest.raises(JaxgenError, match=r"cifar10 is not prepared.*--data-dir") as caught:
        data.load("cifar10", data_dir=tmp_path)
    assert "\n" not in str(caught.value)
