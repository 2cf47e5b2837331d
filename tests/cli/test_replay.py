"""jaxgen replay: the identical image, or a line that says why not."""

import os
from pathlib import Path

import pytest
from folders import listing
from PIL import Image

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


@pytest.mark.parametrize(
    "options", [(), ("-n", 1), ("--sampler", "ancestral", "--seed", 4, "--first", 3, "-n", 2)], ids=str
)
def test_replay_of_a_sheet_is_identical(sample, command, model, options):
    sample("-n", 6, *options, "-o", "a.png")
    result = command("replay", "a.png", "--model", model.onnx, "-o", "b.png")
    assert (result.code, result.out, result.err) == (0, "identical: every pixel\n", "")
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()  # its words, too


def test_replay_of_an_image_from_a_folder_is_identical(sample, command, model):
    sample("-n", 3, "--seed", 5, *(("--label", "all") if model.classes else ()), "-o", "folder/")
    for name in listing("folder"):
        result = command("replay", Path("folder", name), "--model", model.onnx)
        assert (result.code, result.out) == (0, "identical: every pixel\n")


def test_replay_snaps_to_the_same_palette_without_its_file(command, conditional):
    Path("colours.txt").write_text("#000000 #638596 #ffffff")
    command("sample", conditional.onnx, "-n", 3, "--palette", "colours.txt", "-o", "a.png")
    Path("colours.txt").unlink()
    result = command("replay", "a.png", "--model", conditional.onnx, "-o", "b.png")
    assert (result.code, result.out, result.err) == (0, "identical: every pixel\n", "")
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()


def test_replay_with_another_model_is_refused(command, refused, conditional, unconditional):
    command("sample", conditional.onnx, "-n", 1, "-o", "a.png")
    line = refused(3, "replay", "a.png", "--model", unconditional.onnx)
    assert conditional.manifest["sha256"][:12] in line and unconditional.manifest["sha256"][:12] in line


def test_replay_of_an_image_without_provenance_is_refused(refused, unconditional):
    Image.new("L", (8, 8)).save("a.png")
    assert "does not say how it was made" in refused(3, "replay", "a.png", "--model", unconditional.onnx)


def test_replay_of_a_changed_image_is_refused(command, refused, unconditional):
    command("sample", unconditional.onnx, "-n", 1, "-o", "a.png")
    with Image.open("a.png") as image:
        info, image = image.text, image.copy()
    image.putpixel((3, 4), image.getpixel((3, 4)) ^ 128)
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("jaxgen", info["jaxgen"])
    image.save("a.png", pnginfo=text)
    assert "it was changed after it was sampled" in refused(3, "replay", "a.png", "--model", unconditional.onnx)


@pytest.mark.parametrize("name", ["none.png", ".", "text.png", "pipe.png"])
def test_replay_of_what_is_no_image_is_refused(refused, unconditional, name):
    Path("text.png").write_text("hello")
    os.mkfifo("pipe.png")
    refused(3, "replay", name, "--model", unconditional.onnx)


def test_replay_checks_where_it_would_write_first(command, refused, unconditional):
    command("sample", unconditional.onnx, "-n", 1, "-o", "a.png")
    assert "there is no folder" in refused(3, "replay", "a.png", "--model", unconditional.onnx, "-o", "none/b.png")
