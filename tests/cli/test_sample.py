"""jaxgen sample, as a person or a shell script uses it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from folders import listing
from PIL import Image
from scipy.spatial.distance import cdist

from jaxgen.images import grid

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")

FRAMEWORKS = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax",
    "torch",
    "onnx",
    "onnxscript",
    "tensorflow",
    "sklearn",
    "grain",
)
BASE_INSTALL = f"""
import sys
for name in {FRAMEWORKS}:
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
from jaxgen.cli import main
main()
"""


def pixels(path):
    with Image.open(path) as image:
        array = np.array(image)
    return array[..., None] if array.ndim == 2 else array


# --- kinds of output


def test_kinds_of_output_show_the_same_images(sample):
    options = ("-n", 5, "--seed", 3, "--first", 2, "--steps", 6)
    for output in ("a.png", "a.npy", "folder/"):
        assert sample(*options, "-o", output).out == f"{output}\n"
    array = np.load("a.npy", allow_pickle=False)
    assert (array.dtype, array.shape[:3], array.flags.c_contiguous) == (np.uint8, (5, 8, 8), True)
    np.testing.assert_array_equal(pixels("a.png"), grid(array))
    names = listing("folder")
    assert names == [f"seed3-{index:06d}.png" for index in range(2, 7)]
    for name, image in zip(names, array, strict=True):
        np.testing.assert_array_equal(pixels(Path("folder", name)), image)
    assert listing() == ["a.npy", "a.png", "folder"]  # and no temporary file


def test_default_is_a_sheet_of_64_in_grid_png(sample):
    assert sample().out == "grid.png\n"
    sample("-n", 64, "-o", "a.npy")
    np.testing.assert_array_equal(pixels("grid.png"), grid(np.load("a.npy")))


@pytest.mark.parametrize(("steps", "frames"), [(5, 6), (50, 40)])
def test_gif_moves_from_noise_to_the_sheet(command, unconditional, steps, frames):
    options = ("-n", 4, "--steps", steps, "--seed", 1)
    for output in ("a.gif", "a.png"):
        assert command("sample", unconditional.onnx, *options, "-o", output).code == 0
    with Image.open("a.gif") as film:
        assert film.n_frames == frames
        film.seek(frames - 1)
        last = np.array(film.convert("L"))
        film.seek(0)
        first = np.array(film.convert("L"))
    np.testing.assert_array_equal(last, pixels("a.png")[..., 0])
    assert (first != last).mean() > 0.3


def test_png_says_how_it_was_made(sample, model):
    sample("-n", 2, "--seed", 7, "--first", 9, "--steps", 4, "--sampler", "dpmpp-2m", "-o", "a.png")
    with Image.open("a.png") as image:
        said = json.loads(image.text["jaxgen"])
    assert said == {
        "model": model.manifest["sha256"], "seed": 7, "index": 9, "count": 2, "label": -1,
        "guidance": 1.5 if model.classes else None, "plan": {"sampler": "dpmpp-2m", "steps": 4, "eta": 0.0},
    }  # fmt: skip


def test_image_in_a_pipe_is_that_in_the_file(sample, model):
    sample("-n", 3, "-o", "a.png")
    command = f"{sys.executable} -m jaxgen sample {model.onnx} -n 3 -o - | cat"
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == Path("a.png").read_bytes()


def test_reader_that_has_gone_is_no_traceback(unconditional):
    command = f"{sys.executable} -m jaxgen sample {unconditional.onnx} -n 3 -o - | true"
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to be out of space on")
def test_full_disk_is_one_line(unconditional):
    command = f"{sys.executable} -m jaxgen sample {unconditional.onnx} -n 3 -o - > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("jaxgen: No space left") and done.stderr.count("\n") == 1


# --- images do not depend on how they are sampled


@pytest.mark.parametrize("batch_size", [1, 3, 40])
@pytest.mark.parametrize("threads", [1, 2])
def test_image_does_not_depend_on_batch_size_or_threads(sample, batch_size, threads):
    sample("-n", 40, "-o", "want.npy")
    sample("-n", 12, "--first", 20, "--batch-size", batch_size, "--threads", threads, "-o", "found.npy")
    difference = np.abs(np.load("found.npy").astype(int) - np.load("want.npy")[20:32])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


def test_options_change_the_images(command, conditional):
    seen = set()
    for number, options in enumerate(
        [(), ("--seed", 1), ("--first", 1), ("--label", "ant"), ("--label", "#1"), ("--label", "all"),
         ("--label", 0, "--guidance", 4), ("--steps", 5), ("--eta", 0), ("--sampler", "ancestral")]
    ):  # fmt: skip
        assert command("sample", conditional.onnx, "-n", 3, *options, "-o", f"{number}.npy").code == 0
        seen.add(Path(f"{number}.npy").read_bytes())
    assert len(seen) == 10


def test_class_by_name_and_by_number_are_the_same(command, conditional):
    for name, label in (("a", "bee"), ("b", "#2"), ("c", 1), ("d", "#1")):  # class 1 is called "2"
        command("sample", conditional.onnx, "-n", 2, "--label", label, "-o", f"{name}.npy")
    a, b, c, d = (Path(f"{name}.npy").read_bytes() for name in "abcd")
    assert a == b != c == d
    outcome = command("sample", conditional.onnx, "-n", 2, "--label", 2)
    assert outcome.code == 2 and "number 1 is called '2', and number 2 is called 'bee'" in outcome.line


# --- palettes


def test_palette_snaps_every_kind_of_output_and_says_how_near_it_was(command, conditional):
    colours = np.array([[0, 0, 0], [99, 133, 150], [255, 255, 255], [200, 30, 10]], np.uint8)
    Path("colours.txt").write_text("#000000 #638596 #ffffff #c81e0a ; four")
    options = ("sample", conditional.onnx, "-n", 5, "--batch-size", 2, "-o")
    assert command(*options, "raw.npy").err == ""
    raw = np.load("raw.npy")
    far = cdist(raw.reshape(-1, 3), colours)
    want, on = colours[far.argmin(1)].reshape(raw.shape), (far.min(1) <= 6).mean()
    for output in ("a.npy", "a.png", "a.gif", "folder/"):
        said = command(*options, output, "--palette", "colours.txt")
        line = f"palette: {on:.2%} of pixels lay on its 4 colours before\n"
        assert (said.code, said.out, said.err) == (0, f"{output}\n", line)
    np.testing.assert_array_equal(np.load("a.npy"), want)
    np.testing.assert_array_equal(pixels("a.png"), grid(want))
    for name, image in zip(listing("folder"), want, strict=True):
        np.testing.assert_array_equal(pixels(Path("folder", name)), image)
    with Image.open("a.gif") as film:
        film.seek(film.n_frames - 1)
        np.testing.assert_array_equal(np.array(film.convert("RGB")), pixels("a.png"))


def test_palette_of_the_models_data_is_in_its_file(command, refused, conditional, restamped):
    held = ["#000000", "#638596"]
    path = restamped(conditional.onnx, manifest=lambda entries: entries.update(palette=held))
    assert "palette     2 colours\n" in command("info", path).out
    Path("held.json").write_text(json.dumps(held))
    for name in ("model", "held.json"):
        assert command("sample", path, "-n", 2, "-o", f"{name}.npy", "--palette", name).code == 0
    assert Path("model.npy").read_bytes() == Path("held.json.npy").read_bytes()
    line = refused(2, "sample", conditional.onnx, "--palette", "model")
    assert line.startswith(f"--palette: {conditional.onnx} holds no palette")
    broken = restamped(conditional.onnx, manifest=lambda entries: entries.update(palette=["blue"]))
    assert "expected a colour such as #638596, got 'blue'" in refused(3, "sample", broken, "--palette", "model")


@pytest.mark.parametrize(
    ("content", "code", "complaint"),
    [
        ("#ff0000 #000000", 2, "the images are grey, and the palette has colours that are not"),
        ("red", 3, "colours.txt: expected a colour such as #638596, got 'red'"),
        (None, 3, "colours.txt: no such file"),
    ],
)
def test_palette_that_is_none_is_refused(refused, unconditional, content, code, complaint):
    if content:
        Path("colours.txt").write_text(content)
    assert refused(code, "sample", unconditional.onnx, "--palette", "colours.txt") == complaint
    assert listing() == (["colours.txt"] if content else [])


# --- the base install, and Ctrl-C


def test_base_install_samples_replays_verifies_and_informs(model):
    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", BASE_INSTALL, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    for output in ("a.png", "a.npy", "a.gif", "folder/"):
        assert run("sample", model.onnx, "-n", 2, "-o", output) == f"{output}\n"
    assert run("replay", "a.png", "--model", model.onnx) == "identical: every pixel\n"
    assert run("verify", model.onnx).startswith("verified: ")
    assert json.loads(run("info", model.onnx, "--json")) == model.manifest


def heed_interrupts():
    """A shell starts what it puts in the background with Ctrl-C ignored, and the tests may be such a thing."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    "options",
    [("-n", "4096", "--batch-size", "4096", "-o", "a.npy"), ("-n", "4096", "--batch-size", "64", "-o", "a.npy"),
     ("-n", "4096", "--batch-size", "4096", "-o", "a.png"), ("-n", "4096", "--batch-size", "4096", "-o", "folder/")],
    ids=["one long call", "many calls", "sheet", "folder"],
)  # fmt: skip
def test_ctrl_c_exits_130_within_two_seconds_and_leaves_no_file(unconditional, options):
    arguments = ["sample", str(unconditional.onnx), "--sampler", "ancestral", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxgen", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_interrupts,
    )  # fmt: skip
    time.sleep(2)  # by then it samples, and has many seconds to go
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - start < 2
    assert (process.returncode, out, err.lstrip("\n")) == (130, "", "jaxgen: interrupted\n")  # click ends ^C's line
    assert not listing()
