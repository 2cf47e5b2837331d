"""How jaxgen sample lays images out: on a screen, in columns, magnified; on a model that comes with jaxgen."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from folders import listing
from PIL import Image

from jaxgen.images import BACKGROUND, save_png
from jaxgen.inference.provenance import provenance_text, read_provenance

MODEL = "cvae-digits"  # 8x8, ten classes, one evaluation


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.fixture
def sampled(command):
    """sampled(*options): what it prints, which must be a success without a word on stderr."""

    def run(*options):
        outcome = command("sample", MODEL, *options)
        assert (outcome.code, outcome.err) == (0, ""), outcome
        return outcome.out

    return run


def replayed(command, image) -> str:
    outcome = command("replay", image, "--model", MODEL)
    assert outcome.code == 0, outcome
    return outcome.out


def test_single_image_can_be_seen_and_holds_its_own_pixels(sampled, command):
    sampled("-n", 1, "--label", 3, "-o", "one.png")
    sampled("-n", 1, "--label", 3, "--scale", 1, "-o", "raw.png")
    raw = pixels("raw.png")
    assert raw.shape == (8, 8) and raw.std() > 10
    np.testing.assert_array_equal(pixels("one.png"), np.kron(raw, np.ones((32, 32), np.uint8)))
    assert replayed(command, "one.png") == replayed(command, "raw.png") == "identical: every pixel\n"


def test_magnified_image_is_read_as_the_image_that_it_was(sampled, command):
    sampled("-n", 1, "--label", 3, "-o", "one.png")
    sampled("-n", 1, "--label", 3, "--scale", 1, "-o", "raw.png")
    for name in ("one", "raw"):
        assert command("latent", "encode", MODEL, f"{name}.png", "--label", 3, "-o", f"{name}.npy").code == 0
    np.testing.assert_array_equal(np.load("one.npy"), np.load("raw.npy"))


@pytest.mark.parametrize("options", [("--label", "all"), ()], ids=["all", "required"])
def test_classes_that_take_turns_have_a_column_each(sampled, options):
    sampled("-n", 23, *options, "-o", "a.png")
    sampled("-n", 23, *options, "-o", "a.npy")
    sheet, images = pixels("a.png"), np.load("a.npy")[..., 0]
    assert sheet.shape == (3 * 58 + 2, 10 * 58 + 2)  # of 56 pixels and a frame of two
    for i, image in enumerate(images):
        top, left = 2 + i // 10 * 58, 2 + i % 10 * 58
        np.testing.assert_array_equal(sheet[top : top + 56 : 7, left : left + 56 : 7], image)
    assert (sheet[2 * 58 + 2 :, 3 * 58 + 2 :] == BACKGROUND).all()
    assert read_provenance("a.png")["columns"] == 10


def test_sheet_with_fewer_images_than_classes_is_square(sampled):
    sampled("-n", 4, "--label", "all", "-o", "a.png")
    assert pixels("a.png").shape == (118, 118) and "columns" not in read_provenance("a.png")


def test_columns_and_scale_are_as_asked_and_are_replayed(sampled, command):
    layout = ("--columns", 4, "--scale", 3)
    sampled("-n", 6, "--label", 5, *layout, "-o", "a.png")
    sampled("-n", 6, "--label", 5, "-o", "a.npy")
    sheet, images = pixels("a.png"), np.load("a.npy")[..., 0]
    assert sheet.shape == (2 * 26 + 2, 4 * 26 + 2)
    np.testing.assert_array_equal(sheet[28:52, 28:52], np.kron(images[5], np.ones((3, 3), np.uint8)))
    assert read_provenance("a.png").items() >= {"columns": 4, "scale": 3}.items()
    assert replayed(command, "a.png") == "identical: every pixel\n"


def test_folder_holds_images_as_they_are_or_magnified(sampled):
    sampled("-n", 2, "--label", 5, "-o", "raw/")
    sampled("-n", 2, "--label", 5, "--scale", 2, "-o", "large/")
    assert listing("raw") == listing("large") == ["seed0-000000-class5.png", "seed0-000001-class5.png"]
    for name in listing("raw"):
        raw = pixels(Path("raw", name))
        assert raw.shape == (8, 8)
        np.testing.assert_array_equal(pixels(Path("large", name)), np.kron(raw, np.ones((2, 2), np.uint8)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "a.npy", "--scale", 2), "--scale lays out a sheet"),
        (("-o", "a.npy", "--columns", 2), "--columns lays out a sheet"),
        (("-o", "folder/", "--columns", 2), "--columns lays out a sheet"),
        (("--scale", 0), "0 is not in the range 1 to 256"),
        (("--columns", 0), "0 is not in the range 1 to 4,096"),
        (("-n", 2000, "--scale", 16), "a sheet of 2000 images in 200 columns at this scale is too large"),
        (("-o", "-", "--json"), "--json and -o - both write to stdout"),
    ],
)
def test_layout_that_cannot_be_is_refused_before_anything_is_written(refused, options, words):
    columns = ("--columns", 200) if "2000" in map(str, options) else ()
    assert words in refused(2, "sample", MODEL, *options, *columns)
    assert not listing()


# --- images of earlier versions, which say nothing of a layout


@pytest.mark.parametrize(
    "options", [("-n", 1, "--label", 3, "--scale", 1), ("-n", 12, "--label", "all", "--columns", 4)]
)
def test_image_of_an_earlier_version_is_replayed(sampled, command, options):
    sampled(*options, "-o", "a.png")
    record = read_provenance("a.png")
    shape = pixels("a.png").shape
    assert shape in ((8, 8), (3 * 58 + 2, 4 * 58 + 2))  # 12 in a square: four columns
    earlier = {key: value for key, value in record.items() if key not in ("scale", "columns")}
    save_png("earlier.png", pixels("a.png")[..., None], provenance_text(earlier))
    assert replayed(command, "earlier.png") == "identical: every pixel\n"


@pytest.mark.parametrize(
    "layout", [{"scale": 0}, {"scale": "2"}, {"columns": 10**9}, {"columns": True}, {"scale": 257}]
)
def test_layout_that_no_sheet_has_is_one_line(sampled, refused, layout):
    sampled("-n", 2, "--label", 3, "-o", "a.png")
    save_png("b.png", pixels("a.png")[..., None], provenance_text(read_provenance("a.png") | layout))
    assert "its provenance is not understood" in refused(3, "replay", "b.png", "--model", MODEL)


# --- seeds and classes


def test_several_classes_take_turns(sampled, command):
    sampled("-n", 5, "--label", "3,7", "-o", "both.npy")
    for label in (3, 7):
        sampled("-n", 5, "--label", label, "-o", f"{label}.npy")
    both, three, seven = (np.load(f"{name}.npy") for name in ("both", "3", "7"))
    np.testing.assert_array_equal(both[0::2], three[0::2])
    np.testing.assert_array_equal(both[1::2], seven[1::2])
    sampled("-n", 5, "--label", "3, 7", "-o", "a.png")
    assert read_provenance("a.png").items() >= {"label": [3, 7], "columns": 2}.items()
    assert replayed(command, "a.png") == "identical: every pixel\n"
    sampled("-n", 3, "--label", "3,7", "--first", 1, "-o", "folder/")
    assert [name.partition("-class")[2] for name in listing("folder")] == ["7.png", "3.png", "7.png"]


def test_class_whose_name_has_a_comma_is_one_class(command, restamped):
    from jaxgen import shipped

    names = ["red, large", *map(str, range(1, 10))]
    path = restamped(shipped.model(MODEL), manifest=lambda entries: entries["inference"].update(classes=names))
    for label in ("red, large", "0", "red, large,1"):
        command("sample", path, "-n", 2, "--label", label, "-o", f"{label[-1]}.npy")
    assert Path("e.npy").read_bytes() == Path("0.npy").read_bytes()
    assert not Path("1.npy").exists()  # the classes "red" and "large" are none


def test_random_seed_is_printed_and_gives_the_same_images(command):
    first, second = (command("sample", MODEL, "-n", 2, "--seed", "random", "-o", f"{i}.npy") for i in range(2))
    seeds = [int(outcome.err.removeprefix("seed ")) for outcome in (first, second)]
    assert seeds[0] != seeds[1] and all(0 <= seed < 2**32 for seed in seeds)
    command("sample", MODEL, "-n", 2, "--seed", seeds[0], "-o", "again.npy")
    assert Path("again.npy").read_bytes() == Path("0.npy").read_bytes() != Path("1.npy").read_bytes()


def test_json_says_what_the_png_says(sampled):
    said = json.loads(sampled("-n", 20, "--seed", 4, "--label", "all", "--json"))
    assert said == {"output": "grid.png", **read_provenance("grid.png")}
    said = json.loads(sampled("-n", 20, "--label", "all", "-o", "a.npy", "--json"))
    assert said["output"] == "a.npy" and "columns" not in said and said["count"] == 20


def test_replay_as_json(sampled, command):
    sampled("-n", 2, "--label", 3, "-o", "a.png")
    said = json.loads(command("replay", "a.png", "--model", MODEL, "--json").out)
    assert said == {"same": True, "line": "identical: every pixel", "identical": 1.0, "off_by": 0}


@pytest.mark.parametrize("label", ["12", "10", "100", "3,12"])
def test_number_that_is_no_class_is_not_taken_for_a_misspelt_one(refused, label):
    line = refused(2, "sample", MODEL, "--label", label)
    assert line.startswith("label must be a class (0 to 9: 0, 1, ") and "did you mean" not in line


# --- info of an image


def test_info_of_an_image_is_its_recipe_which_can_be_typed(sampled, command):
    sampled("-n", 20, "--seed", 4, "--first", 6, "--label", "3,7", "--scale", 2, "-o", "a.png")
    said = {line[:12].strip(): line[12:] for line in command("info", "a.png").out.splitlines()}
    assert said["model"].endswith("which is cvae-digits")
    assert (said["seed"], said["label"], said["count"]) == ("4", "3, 7", "20")
    assert said["compare"] == "jaxgen replay a.png --model cvae-digits"
    shutil.move("a.png", "before.png")
    assert command(*said["again"].split()[1:], "-o", "a.png").code == 0
    assert Path("a.png").read_bytes() == Path("before.png").read_bytes()
    assert json.loads(command("info", "a.png", "--json").out) == read_provenance("a.png")


def test_info_of_what_a_latent_tool_made_names_the_tool(command):
    command("latent", "interpolate", MODEL, "--seeds", "0,1", "--label", "7,1", "--frames", 3, "-o", "walk.png")
    said = command("info", "walk.png").out
    assert "made by     jaxgen latent interpolate\n" in said and "seeds       0, 1\n" in said


def test_info_of_an_image_of_nobody_is_one_line(refused):
    Image.new("L", (8, 8)).save("plain.png")
    assert "does not say how it was made" in refused(3, "info", "plain.png")


# --- two seeds with two classes


def test_walk_between_two_seeds_goes_from_one_class_to_the_other(command):
    arguments = ("latent", "interpolate", MODEL, "-n", 2, "--frames", 4)
    assert command(*arguments, "--seeds", "5,6", "--label", "7,1", "-o", "walk.npy").code == 0
    walk = np.load("walk.npy").reshape(2, 4, 8, 8)
    for seed, label, at in ((5, 7, 0), (6, 1, 3)):
        command("sample", MODEL, "-n", 2, "--seed", seed, "--label", label, "-o", "end.npy")
        np.testing.assert_array_equal(walk[:, at], np.load("end.npy")[..., 0])
    command(*arguments, "--seeds", "5,6", "--label", 7, "-o", "seven.npy")
    seven = np.load("seven.npy").reshape(2, 4, 8, 8)
    np.testing.assert_array_equal(walk[:, :2], seven[:, :2])  # the class changes halfway
    assert (walk[:, 2:] != seven[:, 2:]).any((1, 2, 3)).all()


def test_walk_takes_a_class_for_each_row_too_and_no_other_number(command, refused):
    arguments = ("latent", "interpolate", MODEL, "--seeds", "5,6", "-n", 3, "--frames", 3, "-o", "walk.npy")
    assert command(*arguments, "--label", "1,2,3").code == 0
    walk = np.load("walk.npy").reshape(3, 3, 8, 8)
    command("sample", MODEL, "--first", 1, "-n", 1, "--seed", 5, "--label", 2, "-o", "end.npy")
    np.testing.assert_array_equal(walk[1, 0], np.load("end.npy")[0, ..., 0])
    assert "takes 1 class, 2, one for each seed, or 3, one for each row: got 4" in refused(
        2, *arguments, "--label", "1,2,3,4"
    )
