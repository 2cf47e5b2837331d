"""Which form a name or a path means."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from idx_files import idx_bytes
from PIL import Image

from jaxgen import data
from jaxgen.data.catalog import absolute
from jaxgen.errors import UsageError

IMAGES = np.random.default_rng(5).integers(0, 256, (12, 4, 4), np.uint8)


def png():
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(buffer, "PNG")
    return buffer.getvalue()


def folder(path):
    (path / "cat").mkdir(parents=True)
    (path / "cat" / "1.png").write_bytes(png())


def idx_folder(path):
    path.mkdir()
    (path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(IMAGES)))


def packed_tar(path):
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("1.png")
        info.size = len(png())
        archive.addfile(info, io.BytesIO(png()))


def packed_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.png", png())


def saved(function):
    def make(path):
        with path.open("wb") as stream:  # by no ending
            function(stream, IMAGES)

    return make


MAKERS = {
    "folder": folder,
    "idx": idx_folder,
    "npy": saved(np.save),
    "npz": saved(lambda stream, images: np.savez(stream, images=images)),
    "tar": packed_tar,
    "zip": packed_zip,
}


@pytest.mark.parametrize("form", MAKERS)
def test_path_alone_is_taken_for_what_it_is_and_said_so(form, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    MAKERS[form](tmp_path / "mine")
    for name in ("mine", "./mine", str(tmp_path / "mine")):
        about = data.info(name)
        assert about.name == f"{form}:{name}" and about.shape == (4, 4, 1)
        said = capfd.readouterr().err
        assert f"mine is taken for {form}:PATH" in said or name == "./mine"
        assert data.load(name).images.shape[1:] == (4, 4, 1) and capfd.readouterr().err == ""  # said once
        assert absolute(name) == absolute(f"{form}:{name}") == f"{form}:{tmp_path}/mine"
    assert absolute("mine", Path("/else")) == "mine"


def test_table_is_known_by_its_ending(tmp_path):
    (tmp_path / "a.csv").write_text("label,p0,p1,p2,p3\n1,0,9,200,4\n")
    assert data.info(str(tmp_path / "a.csv")).name == f"csv:{tmp_path}/a.csv"


def test_built_in_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "digits")
    assert data.info("digits").shape == (8, 8, 1) and absolute("digits") == "digits"
    assert data.info("./digits").classes == ("cat",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./nowhere", "nowhere: there is no such file or folder"),
        ("~/nowhere/x.npz", "there is no such file or folder"),
        ("notes.txt", r"its content is of no form that is known; name it: folder, npz, .*, as FORM:PATH"),
        ("./empty", "of no form that is known"),
        ("one.png", r"one image; of many tiles it is sheet:.*one\.png\?tile=WIDTHxHEIGHT"),
        ("nowhere", "unknown dataset 'nowhere'"),
        ("csv:nowhere", "csv:.*nowhere: there is no such file"),
    ],
)
def test_path_that_is_nothing_is_a_usage_error(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "one.png").write_bytes(png())
    with pytest.raises(UsageError, match=words):
        data.info(name)


def test_absolute_keeps_options_and_other_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("folder:a?loose=ignore") == f"folder:{tmp_path}/a?loose=ignore"
    assert absolute("folder:a", Path("b")) == f"folder:{tmp_path}/b/a"
    assert absolute("folder:~/a") == f"folder:{Path.home()}/a"
    assert [absolute(name) for name in ("mnist", "emnist/letters", "cifar10:3.0.2")] == [
        "mnist", "emnist/letters", "cifar10:3.0.2",
    ]  # fmt: skip
