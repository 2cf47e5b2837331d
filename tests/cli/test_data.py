import json

import numpy as np
import pytest
from PIL import Image

from jaxgen import data


@pytest.fixture
def images(tmp_path):
    """Twelve images of two classes."""
    for i in range(12):
        folder = tmp_path / "pets" / ("cat" if i % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((5, 6, 3), i, np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "pets"


def test_list_names_every_dataset_and_says_what_is_ready(command):
    outcome = command("data", "list")
    lines = {line.split()[0]: line for line in outcome.out.splitlines()}
    assert set(data.names()) | {"folder:PATH"} == set(lines)
    assert "8x8x1" in lines["digits"] and "ready" in lines["digits"]
    assert "28x28x1" in lines["mnist"] and "to get" in lines["mnist"]
    assert "TensorFlow Datasets" in outcome.err


def test_list_as_json_is_what_the_data_package_knows(command):
    listed = json.loads(command("data", "list", "--json").out)
    assert [entry["name"] for entry in listed] == data.names()
    (digits,) = [entry for entry in listed if entry["name"] == "digits"]
    assert digits["splits"] == {"train": 1497, "test": 300} and digits["ready"] is True


def test_info_says_what_a_dataset_is(command):
    outcome = command("data", "info", "digits")
    rows = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert rows["images"] == "8x8x1" and rows["splits"] == "train 1,497, test 300" and rows["ready"] == "yes"
    assert rows["classes"] == "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" and outcome.err == ""


def test_info_of_what_is_not_there_says_how_to_get_it(command):
    assert "no; run: jaxgen data get mnist" in command("data", "info", "mnist").out


def test_list_and_info_say_what_is_wrong_with_files_that_get_would_refuse(command, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "punks.png").write_bytes(b"no image")
    lines = {line.split()[0]: line for line in command("data", "list", "--data-dir", "d").out.splitlines()}
    assert " damaged " in lines["cryptopunks"] and " to get " in lines["mnist"]
    out = command("data", "info", "cryptopunks", "--data-dir", "d").out
    assert "ready      no; d/punks.png: expected SHA-256" in out and "run: jaxgen data get" not in out
    about = json.loads(command("data", "info", "cryptopunks", "--data-dir", "d", "--json").out)
    assert about["ready"] is False and about["problem"].startswith("d/punks.png: expected SHA-256")


def test_info_as_json_is_whole(command):
    assert json.loads(command("data", "info", "digits", "--json").out)["shape"] == [8, 8, 1]


def test_own_images_are_described(command, images):
    out = command("data", "info", f"folder:{images}").out
    assert "2: cat, dog" in out and "train 11, test 1" in out and "?x?x?" in out


def test_get_prints_where_the_images_lie(command, images):
    assert command("data", "get", f"folder:{images}").out == f"{images}\n"
    assert command("data", "get", "digits").out == "digits is ready: it needs no download\n"


@pytest.mark.parametrize("verb", ["info", "get"])
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("minst", 2, "unknown dataset 'minst' (did you mean 'mnist'?)"),
        ("folder:nowhere", 2, "there is no such folder"),
        ("folder:empty", 3, "no images here"),
    ],
)
def test_unknown_or_empty_set_is_one_line(command, tmp_path, verb, name, code, words):
    (tmp_path / "empty").mkdir()
    outcome = command("data", verb, name)
    assert outcome.code == code and words in outcome.line and outcome.out == ""


def test_file_with_the_wrong_hash_is_one_line_and_exit_3(command, tmp_path):
    (tmp_path / "d").mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / "d" / f"{name}-ubyte").write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x01\x07")
    outcome = command("data", "get", "mnist", "--data-dir", "d")
    assert outcome.code == 3 and "-ubyte" in outcome.line


@pytest.mark.parametrize("arguments", [["data", "info"], ["data", "nosuch"], ["data", "list", "--jsn"]])
def test_malformed_request_is_one_line_and_exit_2(command, arguments):
    outcome = command(*arguments)
    assert outcome.code == 2 and outcome.line


@pytest.mark.parametrize("verb", ["list", "info", "get"])
def test_help_has_an_example(command, verb):
    assert f"jaxgen data {verb}" in command("data", verb, "--help").out.partition("Options")[0].partition("\n")[2]
