import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxgen import data
from jaxgen.data.batches import StreamedBatches
from jaxgen.data.tfds_writer import png, prepare
from jaxgen.errors import JaxgenError, UsageError

with tfds.core.registered.skip_registration():

    class Shapes(tfds.core.GeneratorBasedBuilder):
        """Somebody's set: images of any size, and a label that is not the first feature."""

        name = "shapes"
        VERSION = tfds.core.Version("1.2.0")

        def _info(self):
            features = {
                "a_number": np.int64,
                "image": tfds.features.Image(shape=(None, None, 3)),
                "kind": tfds.features.ClassLabel(names=["dark", "light"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), homepage="http://h"
            )

        def _split_generators(self, dl_manager):
            raise NotImplementedError

        def _generate_examples(self):
            raise NotImplementedError

    class Numbers(Shapes):
        name = "numbers"

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"x": np.int64}))


@pytest.fixture
def shapes(tmp_path):
    """Sixteen images; the one of value 10 k is 20 + k pixels wide and light from k = 8 on."""

    def examples():
        for k in range(16):
            image = np.full((24, 20 + k, 3), 10 * k, np.uint8)
            yield k, {"a_number": k, "image": png(image), "kind": int(k >= 8)}

    prepare(Shapes, {"train": examples()}, tmp_path)
    return tmp_path


def test_prepared_set_of_any_name_is_loaded(shapes):
    dataset = data.load("shapes", data_dir=shapes, size=8, channels=1)
    assert dataset.images.shape == (16, 8, 8, 1)
    assert dataset.classes == ("dark", "light")
    assert sorted(dataset.images[:, 0, 0, 0].tolist()) == [10 * k for k in range(16)]
    assert (dataset.labels == (dataset.images[:, 0, 0, 0] >= 80)).all()
    assert "tensorflow" not in sys.modules


def test_images_of_differing_size_default_to_32(shapes):
    assert data.load("shapes", data_dir=shapes).images.shape == (16, 32, 32, 3)


def test_streamed_and_loaded_images_are_the_same(shapes):
    streamed = data.batches("shapes", 16, seed=0, data_dir=shapes, size=8, memory_limit=0)
    assert isinstance(streamed, StreamedBatches)
    want = data.load("shapes", data_dir=shapes, size=8).images
    assert sorted(i.tobytes() for i in streamed[3][0]) == sorted(i.tobytes() for i in want)


def test_info_of_a_prepared_set_is_what_tfds_knows(shapes):
    about = data.info("shapes", data_dir=shapes)
    assert about.ready
    assert about.splits == {"train": 16}
    assert about.shape == (None, None, 3)
    assert about.source.startswith("http://h")


def test_info_of_an_unprepared_set_is_not_ready(tmp_path):
    about = data.info("cifar10", data_dir=tmp_path)
    assert not about.ready
    assert about.shape == (32, 32, 3)
    assert len(about.classes) == 10


def test_split_that_is_not_there_names_those_that_are(shapes):
    with pytest.raises(UsageError, match="no split 'test'; it has train"):
        data.load("shapes", "test", data_dir=shapes)


def test_set_without_images_says_so(tmp_path):
    prepare(Numbers, {"train": iter([(0, {"x": 1})])}, tmp_path)
    with pytest.raises(JaxgenError, match="no 8-bit images"):
        data.load("numbers", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("shapes-train.array_record-00000-of-00001", lambda content: content[: len(content) // 2]),
        ("shapes-train.array_record-00000-of-00001", lambda content: b""),
        ("shapes-train.array_record-00000-of-00001", lambda content: content[:100] + b"\xff" * 400 + content[500:]),
        ("features.json", lambda content: b"{"),
        ("dataset_info.json", lambda content: b"{"),
    ],
    ids=["torn", "empty", "flipped", "features", "description"],
)
def test_damaged_prepared_set_is_named_in_one_line(shapes, file, damage):
    path = shapes / "shapes" / "1.2.0" / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(JaxgenError, match=r"shapes(/1\.2\.0)?: damaged") as caught:
        data.load("shapes", data_dir=shapes)
    assert "\n" not in str(caught.value)


def test_description_that_is_no_json_is_named(shapes):
    path = shapes / "mnist" / "3.0.1" / "dataset_info.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(JaxgenError, match=str(path)):
        data.get("mnist", data_dir=shapes)


@pytest.mark.parametrize("name", ["mnist:9.9.9", "emnist/lettres", "../etc", "huggingface:mnist", ""])
def test_name_that_tfds_does_not_take_is_a_usage_error_in_one_line(name, tmp_path):
    with pytest.raises(UsageError) as caught:
        data.info(name, data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_png_is_read_back_by_pillow():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(np.asarray(Image.open(png(image))), image)
