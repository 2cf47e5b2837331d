"""parquet: tables as Hugging Face's `datasets` writes them, made here by pyarrow alone."""

import io
import json
import sys

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from jaxgen import data
from jaxgen.errors import JaxgenError, MissingExtra, UsageError


def png(value, kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


def write(path, values, labels, names=("cat", "dog", "bee"), struct=True, label="label"):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": png(value), "path": f"{value}.png"} if struct else png(value) for value in values]
    columns = {"id": list(range(len(values))), "image": images, **({label: labels} if labels else {})}
    table = pa.table(columns)
    features = {"image": {"_type": "Image"}, label: {"names": list(names), "_type": "ClassLabel"}}
    if names:
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    parquet.write_table(table, path)
    return f"parquet:{path}"


def by_value(name, split="train"):
    found = data.load(name, split)
    labels = [found.classes[label] if label >= 0 else None for label in found.labels]
    return dict(zip(found.images[:, 0, 0, 0].tolist(), labels, strict=True))


def test_names_of_a_class_label_are_the_classes(tmp_path):
    name = write(tmp_path / "a.parquet", range(11), [2, 0] * 5 + [2])
    assert data.info(name).classes == ("cat", "dog", "bee") and data.info(name).shape == (4, 4, 3)
    assert by_value(name) == {n: ("bee", "cat")[n % 2] for n in range(11) if n != 9}
    assert data.load(name).labels[:3].tolist() == [2, 0, 2]


def test_files_of_a_repository_are_splits(tmp_path):
    write(tmp_path / "data" / "train-00000-of-00002.parquet", [1, 2], [0, 1])
    write(tmp_path / "data" / "train-00001-of-00002.parquet", [3], [2])
    write(tmp_path / "data" / "test-00000-of-00001.parquet", [4], [0])
    assert by_value(f"parquet:{tmp_path}") == {1: "cat", 2: "dog", 3: "bee"}
    assert by_value(f"parquet:{tmp_path}", "test") == {4: "cat"}


def test_folders_of_a_converted_repository_are_splits(tmp_path):
    write(tmp_path / "mnist" / "train" / "0000.parquet", [1, 2], [0, 1])
    write(tmp_path / "mnist" / "test" / "0000.parquet", [3], [2])
    assert (by_value(f"parquet:{tmp_path}"), by_value(f"parquet:{tmp_path}", "test")) == (
        {1: "cat", 2: "dog"},
        {3: "bee"},
    )


def test_plain_tables_have_bytes_and_labels_of_their_own(tmp_path):
    name = write(tmp_path / "a.parquet", [5, 6], ["x10", "x9"], names=(), struct=False, label="kind")
    assert by_value(f"{name}?labels=kind") == {5: "x10", 6: "x9"} and by_value(name) == {5: None, 6: None}
    assert data.info(f"{name}?labels=kind").classes == ("x9", "x10")


def test_image_by_its_path_is_read_beside_the_table(tmp_path):
    (tmp_path / "7.png").write_bytes(png(7))
    parquet.write_table(pa.table({"image": [{"bytes": None, "path": "7.png"}]}), tmp_path / "a.parquet")
    assert by_value(f"parquet:{tmp_path}/a.parquet") == {7: None}


def test_unlabelled_test_split_of_minus_ones_is_left_out(tmp_path):
    write(tmp_path / "train.parquet", range(10), [0] * 10)
    write(tmp_path / "test.parquet", [50], [-1])
    assert by_value(f"parquet:{tmp_path}", "test") == {9: "cat"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"a": [1, 2]}, r"its columns are a; name that of the images"),
        ({"a": [b"x"], "b": [b"y"]}, r"its columns are a, b; name that of the images"),
        ({"image": [b"x"], "label": [None]}, "a label for each image"),
    ],
)
def test_table_of_something_else_is_one_line(tmp_path, table, words):
    parquet.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(JaxgenError, match=words):
        data.info(f"parquet:{tmp_path}/a.parquet")


def test_labels_outside_the_names_and_torn_files_are_one_line(tmp_path):
    with pytest.raises(JaxgenError, match="labels must be from 0 to 2, got 0 to 3"):
        data.info(write(tmp_path / "a.parquet", [1, 2], [0, 3]))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(JaxgenError, match=r"a\.parquet: cannot be read as Parquet"):
        data.info(f"parquet:{tmp_path}/a.parquet")
    with pytest.raises(UsageError, match="no such file or folder"):
        data.info(f"parquet:{tmp_path}/b.parquet")


def test_missing_row_is_named_when_it_is_read(tmp_path):
    parquet.write_table(pa.table({"image": pa.array([png(1), None], pa.binary())}), tmp_path / "a.parquet")
    with pytest.raises(JaxgenError, match=r"a\.parquet, row 1: there is no image"):
        data.load(f"parquet:{tmp_path}/a.parquet")


def test_missing_library_names_the_extra(tmp_path, monkeypatch):
    name = write(tmp_path / "a.parquet", [1], [0])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pyarrow.*\[parquet\]"):
        data.info(name)
