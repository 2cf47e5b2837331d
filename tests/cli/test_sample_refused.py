"""jaxgen sample when it cannot: what cannot be meant, and places that cannot be written."""

import subprocess
import sys
from pathlib import Path

import pytest
from folders import listing

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")

# Root may write anywhere; here it gives that up (CAP_DAC_OVERRIDE, 1, leaves what the next exec may have) and goes on.
AS_ANYONE = """
import ctypes, os, sys
if os.geteuid() == 0:
    assert ctypes.CDLL(None).prctl(24, 1) == 0
os.execv(sys.executable, [sys.executable, "-m", "jaxgen", *sys.argv[1:]])
"""


# --- usage


USAGE = [
    ("-n", "0"), ("-n", "-1"), ("-n", "1000001"), ("-n", "9" * 30), ("-n", "many"), ("-n", "1.5"),
    ("--seed", "-1"), ("--seed", str(2**32)), ("--first", "-1"), ("--first", str(2**32 - 1), "-n", "2"),
    ("--steps", "0"), ("--steps", "-5"), ("--steps", "51"), ("--steps", "9" * 30),
    ("--label", "3"), ("--label", "-1"), ("--label", "-2"), ("--label", "9" * 5000),
    ("--label", "aunt"), ("--label", ""),
    ("--sampler", "euler"), ("--sampler", ""), ("--eta", "-0.1"), ("--eta", "1.1"), ("--eta", "nan"),
    ("--eta", "0.5", "--sampler", "ancestral"), ("--eta", "0.1", "--sampler", "dpmpp-2m"),
    ("--guidance", "-1"), ("--guidance", "101"), ("--guidance", "nan"), ("--guidance", "inf"),
    ("--batch-size", "0"), ("--batch-size", "4097"), ("--threads", "0"), ("--threads", "-2"), ("--threads", "9999"),
    ("-o", "a.bmp"), ("-o", "a"), ("-o", ""), ("-n", "4097", "-o", "a.png"), ("-n", "257", "-o", "a.gif"),
    ("-n", "4097", "-o", "-"), ("--color", "red"), ("more",),
]  # fmt: skip


@pytest.mark.parametrize("options", USAGE, ids=lambda options: " ".join(options)[:40])
def test_request_that_cannot_be_meant_exits_2(refused, conditional, options):
    assert len(refused(2, "sample", conditional.onnx, *options)) < 400
    assert not listing()


@pytest.mark.parametrize(
    "options", [("--label", "0"), ("--label", "all"), ("--label", "-1"), ("--guidance", "1")], ids=str
)
def test_unconditional_model_takes_neither_label_nor_guidance(refused, unconditional, options):
    assert "is unconditional: it takes no" in refused(2, "sample", unconditional.onnx, *options)
    assert not listing()


def test_model_must_be_named(refused):
    assert "MODEL.onnx" in refused(2, "sample")


# --- places that cannot be written


def folder_in_the_way(name):
    Path(name).mkdir()
    return name


def file_in_the_way(name):
    Path(name).write_text("mine")
    return f"{name}/"


PLACES = {
    "png in a missing folder": lambda: "none/a.png",
    "npy in a missing folder": lambda: "none/a.npy",
    "gif in a missing folder": lambda: "none/a.gif",
    "a folder in the place of the png": lambda: folder_in_the_way("a.png"),
    "a folder in the place of the npy": lambda: folder_in_the_way("a.npy"),
    "a file in the place of the folder": lambda: file_in_the_way("a"),
    "a file on the way to the folder": lambda: file_in_the_way("a") + "b/c/",
    "a name that is too long": lambda: "a" * 300 + ".png",
    "a folder whose name is too long": lambda: "a" * 300 + "/",
    "where nobody can write, file": lambda: "/proc/a.npy",
    "where nobody can write, folder": lambda: "/proc/a/",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_place_that_cannot_be_written_exits_3(refused, unconditional, place):
    output = place()
    before = listing()
    refused(3, "sample", unconditional.onnx, "-n", 2, "-o", output)
    assert listing() == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a test that runs as root knows Linux's way alone")
@pytest.mark.parametrize("output", ["a.png", "a.npy", "a.gif", "deep/"])
def test_read_only_folder_exits_3(unconditional, output):
    locked = Path("locked")
    locked.mkdir(0o555)
    done = subprocess.run(
        [sys.executable, "-c", AS_ANYONE, "sample", unconditional.onnx, "-n", "1", "-o", f"{locked}/{output}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert "cannot be written: no permission in" in done.stderr
    assert not listing(locked)
