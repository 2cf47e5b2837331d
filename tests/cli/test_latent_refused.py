"""What `jaxgen latent` refuses: options that would change nothing, and what cannot be meant."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.usefixtures("latent")  # one.png and two.png
DIGITS = ("--dataset", "digits")


def test_refusals_are_one_line(refused, family, unconditional, latent):
    vae, gan = family("vae").onnx, family("gan").onnx
    assert "has no encoder" in refused(2, "latent", "encode", gan, "one.png")
    assert "has no encoder" in refused(2, "latent", "classify", gan, *DIGITS)
    assert "give --label" in refused(2, "latent", "reconstruct", vae, "one.png")
    assert "needs short codes" in refused(2, "latent", "traverse", unconditional.onnx)
    assert "needs short codes" in refused(2, "latent", "anomaly", unconditional.onnx, "one.png")
    assert "samples by a plan" in refused(2, "latent", "inpaint", vae, "one.png")
    assert "not both" in refused(2, "latent", "encode", vae, "one.png", *DIGITS)
    assert "no images" in refused(2, "latent", "encode", vae)
    assert "-o takes FILE.npy" in refused(2, "latent", "encode", vae, "one.png", "-o", "a.png")
    assert "'spherical', 'linear'" in refused(2, "latent", "interpolate", vae, "--path", "linaer")
    assert "'tsne', 'manifold'" in refused(2, "latent", "map", vae, "--method", "foo")
    assert "--split" in refused(2, "latent", "classify", vae, *DIGITS, "--split", "train")
    assert "--first" in refused(2, "latent", "classify", vae, *DIGITS, "--first", 9)
    odd = ("--label", 0, "--count", 1, "--outlier")
    assert "it needs both, got 0 and 1" in refused(2, "latent", "anomaly", vae, *DIGITS, *odd, 8)
    assert "--seeds takes" in refused(2, "latent", "interpolate", vae, "--seeds", "1,x")
    assert "--dimensions takes numbers from 0 to 4" in refused(2, "latent", "traverse", gan, "--dimensions", "5")
    assert "a manifold needs 2" in refused(2, "latent", "map", vae, "--method", "manifold")
    assert "at most 4096" in refused(2, "latent", "interpolate", vae, "-n", 256, "--frames", 1000)
    assert "no folder" in refused(3, "latent", "traverse", vae, "-o", "missing/a.png")


@pytest.mark.parametrize(
    "arguments",
    [
        ("classify", *DIGITS),  # whose classes are others
        ("cluster", *DIGITS),
        ("encode", *DIGITS),
        ("map", *DIGITS),
        ("anomaly", "one.png"),
        ("encode", "one.png"),
        ("interpolate", "one.png", "two.png"),
        ("reconstruct", "one.png"),
        ("traverse", "one.png"),
    ],
    ids=" ".join,
)
def test_encoder_that_takes_the_class_must_be_told_it(arguments, refused, family):
    command, *images = arguments
    line = refused(2, "latent", command, family("vae-label").onnx, *images)
    assert line.endswith("must be told the images' class (0 to 2: ant, 2, bee): give --label")


@pytest.mark.parametrize(("label", "words"), [("9", "must be a class (0 to 2"), ("0,1,0", "expected 1 class, or 2")])
def test_class_that_an_encoder_does_not_know_is_refused(label, words, refused, family):
    assert words in refused(2, "latent", "encode", family("vae-label").onnx, "one.png", "two.png", "--label", label)


IDLE = {  # by what is named: an option that nothing comes of then
    ("interpolate",): ["--count 3", "--first 2", "--split train", "--invert", "--encoder e.onnx", "--refine 2"],
    ("interpolate", "one.png", "two.png"): ["--seeds 0,5", "--rows 3", "--refine 2", "--count 2"],
    ("traverse",): ["--invert", "--first 2"],
    ("traverse", "one.png"): ["--seed 3", "--split train"],
    ("encode", "one.png"): ["--split bogus", "--first 0", "--count 1", "--refine 1"],
    ("map", "one.png"): ["--side 5", "--seed 1"],
    ("map", "--method", "manifold"): ["--dataset mnist", "--split bogus", "--seed 1", "--invert"],
    ("cluster", "one.png"): ["--count 4"],
    ("anomaly", "one.png"): ["--first 1"],
}


@pytest.mark.parametrize(("named", "option"), [(named, option) for named in IDLE for option in IDLE[named]], ids=str)
def test_option_that_nothing_comes_of_is_refused_by_name(named, option, refused, family):
    command, *rest = named
    line = refused(2, "latent", command, family("vae").onnx, *rest, *option.split())
    assert line.startswith(f"{option.split()[0]}: ")


def test_images_beside_a_manifold_are_refused(refused, family):
    line = refused(2, "latent", "map", family("vae").onnx, "one.png", "--method", "manifold")
    assert line.startswith("images: a manifold ")


def test_defaults_and_the_environment_are_not_refused(latent, family, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(tmp_path))
    latent("interpolate", family("vae").onnx, "--frames", 2)
    latent("reconstruct", family("vae").onnx, "one.png", "--label", 0)


@pytest.mark.parametrize("images", [(*DIGITS, "--count", 3), ("one.png", "two.png")], ids=str)
@pytest.mark.parametrize("name", ["vae", "vae-convolutional"])
def test_traversal_starts_from_one_image(name, images, refused, family):
    line = refused(2, "latent", "traverse", family(name).onnx, *images)
    assert "a traversal starts from one image, got" in line


def test_inpainting_of_several_images_is_refused(refused, unconditional):
    np.save("two.npy", np.zeros((2, 8, 8, 1), np.uint8))
    assert "is of one image, and two.npy holds 2" in refused(2, "latent", "inpaint", unconditional.onnx, "two.npy")


def test_message_on_a_folder_of_classes_names_the_option_that_reads_it(refused, family, tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "pets" / "cat" / "1.png")
    line = refused(2, "latent", "reconstruct", family("vae").onnx, "pets", "--label", 0)
    assert line.startswith("pets: ") and line.endswith("--dataset folder:pets")


def test_walk_from_one_image_is_refused(refused, family):
    assert "two or more images, got" in refused(2, "latent", "interpolate", family("vae").onnx, "one.png", "--label", 0)


def test_wide_sheet_is_refused_and_a_film_of_as_many_frames_is_not(refused, latent, family):
    line = refused(2, "latent", "interpolate", family("gan").onnx, "--frames", 500)
    assert "FILE.gif or FILE.npy" in line
    latent("interpolate", family("gan").onnx, "--frames", 500, "-n", 1, "-o", "a.npy")
