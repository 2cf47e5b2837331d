"""Which extractor a dataset has, and what `--fit-extractor` would train for it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxgen import shipped
from jaxgen.config import VAE, Classifier
from jaxgen.errors import UsageError
from jaxgen.evaluation import extractors
from jaxgen.images import save_png


@pytest.fixture
def nothing_ships(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(shipped, "EXTRACTORS", tmp_path / "none")


@pytest.fixture
def fitted(family, restamped):
    """fitted(dataset): the bytes of an extractor of that dataset."""

    def make(dataset: str, number: int = 0) -> bytes:
        def change(manifest):
            manifest["config"]["data"]["dataset"] = dataset
            manifest["number"] = number

        return restamped(family("classifier").onnx, manifest=change).read_bytes()

    return make


def test_fitted_extractor_is_kept_under_its_hash_and_found_by_its_dataset(nothing_ships, fitted):
    path = extractors.keep(fitted("stripes"), "stripes")
    assert re.fullmatch(r"stripes-[0-9a-f]{12}\.onnx", path.name) and path.parent == extractors.folder()
    assert extractors.located("stripes") == extractors.located("stripes", (8, 8, 1)) == path
    assert extractors.existing("stripes", (8, 8, 3)) is None and extractors.existing("stripe") is None


def test_folders_that_share_a_file_name_do_not_share_an_extractor(nothing_ships, fitted):
    one, other = (extractors.canonical(f"folder:/x/{name}") for name in ("a-b", "a/b"))
    path = extractors.keep(fitted(one), one)
    assert extractors.located(one) == path and extractors.existing(other) is None


def test_folder_is_known_by_its_absolute_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert extractors.canonical("folder:mine") == f"folder:{tmp_path / 'mine'}"
    assert extractors.canonical("folder:~/mine") == f"folder:{tmp_path / 'home' / 'mine'}"
    assert extractors.canonical("mnist") == "mnist"


def test_extractor_that_ships_goes_first_if_it_reads_such_images(nothing_ships, fitted, family, monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "EXTRACTORS", tmp_path)
    ships = Path(shutil.copy(family("classifier").onnx, tmp_path / "stripes.onnx"))
    extractors.keep(fitted("stripes"), "stripes")
    assert extractors.located("stripes") == extractors.located("stripes", (8, 8, 1)) == ships
    with pytest.raises(
        UsageError, match=r"comes with jaxgen reads images of 8x8x1, these are 16x16x1; --fit-extractor"
    ):
        extractors.located("stripes", (16, 16, 1))


def test_two_of_one_dataset_are_refused_since_scores_would_not_be_comparable(nothing_ships, fitted):
    for number in range(2):
        extractors.keep(fitted("stripes", number), "stripes")
    with pytest.raises(UsageError, match=r"several extractors of stripes: .*name one by --extractor"):
        extractors.located("stripes")


def test_dataset_without_any_is_told_how_to_make_one(nothing_ships):
    with pytest.raises(UsageError, match=r"no extractor of 'stripes'.*jaxgen eval --fit-extractor --dataset stripes$"):
        extractors.located("stripes")


def test_damaged_file_in_the_cache_is_none(nothing_ships, fitted):
    extractors.keep(fitted("stripes"), "stripes").write_bytes(b"")
    assert extractors.existing("stripes") is None


# ---- what is trained


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        for place in (tmp_path / "plain", tmp_path / "classes" / str(number % 2)):
            place.mkdir(parents=True, exist_ok=True)
            save_png(place / f"{number:02d}.png", rng.integers(0, 256, (12, 12, 3), np.uint8), {})
    return tmp_path


def test_recipe_is_a_classifier_for_classes_and_a_convolutional_vae_for_none(folder):
    from jaxgen.training.extractor import recipe

    classes = recipe(f"folder:{folder}/classes", shape=(12, 12, 1))
    assert isinstance(classes, Classifier) and classes.class_count == 2 and classes.data.shape == (12, 12, 1)
    plain = recipe(f"folder:{folder}/plain")
    assert isinstance(plain, VAE) and plain.model.convolutions and plain.class_count == 0
    assert plain.data.shape == (12, 12, 3) and plain.training.batch_size == 18  # nine tenths of 20 images
    assert plain.training.steps == classes.training.steps >= 1000


@pytest.mark.parametrize(("shape", "words"), [((12, 8, 1), "square images, .* 12x8"), ((10, 10, 1), "multiple of 4")])
def test_recipe_for_images_that_no_network_reads_is_refused(folder, shape, words):
    from jaxgen.training.extractor import recipe

    with pytest.raises(UsageError, match=words):
        recipe(f"folder:{folder}/classes", shape=shape)
