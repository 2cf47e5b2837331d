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
    assert set(data.names()) | {f"{form}:PATH" for form in data.FORMS} == set(lines)
    assert {"folder", "idx", "npz", "npy", "csv", "parquet", "tar", "zip", "sheet"} <= set(data.FORMS)
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


def rows_of(outcome):
    """The lines of a description by their first word, or 'not' for 'not read'."""
    return dict(line.split(maxsplit=1) for line in outcome.out.splitlines() if not line.startswith(" "))


def test_own_images_are_read_once_and_described(command, images):
    Image.new("L", (9, 7), 3).save(images / "cat" / "13.tif")
    Image.fromarray(np.full((5, 6), 0x7000, np.uint16)).save(images / "cat" / "16 bits.png")
    whole = (images / "dog" / "0.png").read_bytes()
    (images / "dog" / "torn.png").write_bytes(whole[: len(whole) // 2])
    (images / "dog" / "phone.heic").write_bytes(b"x"), (images / "notes.txt").write_text("hello")
    outcome = command("data", "info", f"folder:{images}")
    rows = rows_of(outcome)
    assert rows["images"] == "15" and rows["splits"] == "train 14, test 1"
    assert rows["sizes"] == "5x6 (13), 7x9 (1)" and rows["modes"] == "RGB (12), L (1), I;16 (1)"
    assert rows["classes"] == "2: cat (8), dog (7)"
    assert rows["train"].startswith("trained at 32x32x1 ") and "in batches of 8 " in rows["train"]
    assert rows["not"] == "read   3 files"
    listed = [line.strip() for line in outcome.out.splitlines() if line.startswith("  ")]
    assert [line.partition(": ")[0] for line in listed] == [
        f"{images}/dog/torn.png", f"{images}/dog/phone.heic", f"{images}/notes.txt",
    ]  # fmt: skip
    assert "cannot be read as an image" in listed[0] and "Pillow cannot read .heic here" in listed[1]
    assert "no image by its ending '.txt'" in listed[2] and outcome.code == 0


def test_survey_as_json_counts_the_classes_of_each_split(command, images):
    found = json.loads(command("data", "info", f"folder:{images}", "--json").out)
    assert found["splits"] == {"train": 11, "test": 1} and found["shape"] == [5, 6, 1]
    assert found["survey"]["classes"] == {"train": {"cat": 6, "dog": 5}, "test": {"cat": 0, "dog": 1}}
    assert found["survey"]["sizes"] == {"5x6": 12} and found["survey"]["listed"] == {}


def test_sheet_shows_each_class_in_a_column(command, images):
    outcome = command("data", "info", f"folder:{images}", "--sheet", "sheet.png")
    assert outcome.out.endswith("sheet.png\n")
    sheet = np.asarray(Image.open("sheet.png"))
    scale = 12  # 5 pixels to at least 56
    cells = sheet[2 + 6 :: 5 * scale + 2, 2 + 6 :: 5 * scale + 2]  # a pixel of each image
    assert cells.shape == (8, 2)
    assert cells[:6, 0].tolist() == [1, 11, 3, 5, 7, 9] and cells[:5, 1].tolist() == [
        0,
        10,
        2,
        6,
        8,
    ]  # 4 is for testing
    assert set(cells[6:, 0]) == {128}  # none is left


def test_sheet_of_a_built_in_set_and_bad_places(command):
    assert command("data", "info", "digits", "--sheet", "digits.png").code == 0
    assert Image.open("digits.png").width == 10 * (7 * 8 + 2) + 2
    for place, words in (("x.gif", "-o takes FILE.png"), ("nowhere/x.png", "there is no folder")):
        assert words in command("data", "info", "digits", "--sheet", place).line


def test_arrays_are_described_as_files_are(command, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "mine.npz", x=images, y=np.arange(30) % 3, extra=np.zeros(2))
    outcome = command("data", "info", "mine.npz")
    rows = rows_of(outcome)
    assert "mine.npz is taken for npz:PATH" in outcome.err
    assert (rows["sizes"], rows["modes"], rows["classes"]) == ("8x8 (30)", "RGB (30)", "3: 0 (10), 1 (10), 2 (10)")
    assert rows["train"].startswith("trained at 8x8x3 ") and "mine.npz: extra: no images or labels" in outcome.out


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
