"""What `jaxgen latent` says of what it did: in its images, and on stderr."""

import numpy as np
import pytest
from PIL import Image

from jaxgen.inference.provenance import read_provenance

DIGITS = ("--dataset", "digits")
OF_DIGITS = {"dataset": "digits", "split": "test", "first": 0}


def test_image_holds_the_request_and_what_it_came_to(latent, family):
    vae = family("vae").onnx
    model = latent("reconstruct", vae, *DIGITS, "--count", 4, "--label", "bee", "--invert")["model"]
    assert read_provenance("reconstruction.png") == {
        "model": model, "command": "reconstruct", **OF_DIGITS, "count": 4, "label": "bee", "invert": True
    }  # fmt: skip
    latent("map", vae, *DIGITS, "--first", 2, "--count", 9)
    want = {"model": model, "command": "map", **OF_DIGITS, "first": 2, "count": 9, "method": "pca"}
    assert read_provenance("map.png") == want
    latent("interpolate", vae, "one.png", "two.png", "--label", "#1,bee", "--frames", 3)
    assert read_provenance("interpolation.png") == {
        "model": model, "command": "interpolate", "images": ["one.png", "two.png"], "label": "#1,bee", "frames": 3,
        "path": "spherical",
    }  # fmt: skip


def test_image_by_a_plan_names_the_plan(latent, conditional):
    found = {}
    for name, label, output in (("interpolate", "bee", "interpolation.png"), ("reconstruct", 0, "reconstruction.png")):
        latent(name, conditional.onnx, "one.png", "two.png", "--label", label, "--steps", 3)
        found[name] = read_provenance(output)
        assert found[name].items() >= {"sampler": "ddim", "steps": 3, "guidance": 1, "refine": 1}.items()
    latent("inpaint", conditional.onnx, "one.png", "-n", 1, "--steps", 3, "--sampler", "dpmpp-2m", "--resample", 1)
    want = {"sampler": "dpmpp-2m", "steps": 3, "guidance": 1.5, "images": ["one.png"], "mask": "bottom", "count": 1}
    assert read_provenance("inpainting.png").items() >= want.items()
    latent("interpolate", conditional.onnx, "--seeds", "1,2", "--rows", 1, "--frames", 2)
    assert read_provenance("interpolation.png").items() >= {"guidance": 1.5, "seeds": [1, 2], "rows": 1}.items()


def test_names_that_are_long_and_many_do_not_stop_an_image(latent, family, tmp_path):
    folder = tmp_path / ("\u6570" * 80)
    folder.mkdir()
    for number in range(300):
        Image.new("L", (8, 8), number % 256).save(folder / f"{number}.png")
    said = latent("anomaly", family("vae").onnx, folder, "--label", 0, "--show", 256)
    assert (len(said["shown"]), len(said["scores"])) == (256, 300)
    found = read_provenance("anomaly.png")
    assert found["shown"] == said["shown"][: len(found["shown"])] and 0 < len(found["shown"]) < 100
    assert len(latent("reconstruct", family("vae").onnx, folder, "--label", 0)["images"]) == 300


def test_folder_of_the_data_is_nobodys_business(latent, family, tmp_path):
    latent("reconstruct", family("vae").onnx, *DIGITS, "--data-dir", tmp_path, "--label", 0)
    assert str(tmp_path) not in str(read_provenance("reconstruction.png"))


def test_replay_names_the_command_that_made_the_image(latent, family, refused):
    latent("interpolate", family("gan").onnx, "--frames", 2, "-o", "a.png")
    line = refused(3, "replay", "a.png", "--model", family("gan").onnx)
    assert line == "a.png was made by 'jaxgen latent interpolate', which replay does not repeat"


@pytest.mark.parametrize(
    "arguments", [("cluster", "--clusters", 2), ("map",), ("classify",)], ids=lambda arguments: arguments[0]
)
def test_latents_of_a_decoder_that_takes_the_class_come_with_a_note(arguments, command, family):
    name, *rest = arguments
    told = command("latent", name, family("vae").onnx, *DIGITS, "--count", 60, *rest)
    assert (told.code, told.err.count("note: this decoder is given the class")) == (0, 1)
    untold = command("latent", name, family("vae-convolutional").onnx, *DIGITS, "--count", 60, *rest)
    assert (untold.code, untold.err) == (0, "")
    both = command("latent", name, family("vae-label").onnx, *DIGITS, "--count", 60, "--label", "bee", *rest)
    assert (both.code, both.err.count("note: encoder and decoder are given the class")) == (0, 1)


def test_traversal_of_a_class_that_nobody_chose_says_so(command, family):
    vae = family("vae").onnx
    assert "note: of class ant; --label takes another" in command("latent", "traverse", vae).err
    assert "note" not in command("latent", "traverse", vae, "--label", "bee").err


def test_traversal_shows_the_strongest_dimensions_first_and_says_which(latent, family, command):
    model = family("gan-unconditional").onnx
    said = latent("traverse", model, "--frames", 2, "-o", "a.npy")
    assert sorted(said["dimensions"]) == list(range(7))
    ends = np.load("a.npy").astype(float).reshape(7, 2, -1)
    change = np.abs(ends[:, 0] - ends[:, 1]).mean(1)
    assert (np.diff(change) <= 0).all() and change[0] > change[-1]
    names = ", ".join(map(str, said["dimensions"]))
    assert f"dimensions, in this order: {names}\n" in command("latent", "traverse", model).err
    latent("traverse", model, "--frames", 11)
    with Image.open("traversal.png") as sheet:
        assert sheet.height > 7 * (2 + 56 + 12)  # a line of text above each row


def test_traversal_of_a_gan_starts_from_seed_0_and_that_of_a_vae_from_the_middle(latent, family):
    from jaxgen.latent.spaces import open_space

    arguments = ("--dimensions", "1,0", "--frames", 3, "-o", "a.npy")
    for name in ("gan-unconditional", "vae-convolutional"):
        said = latent("traverse", family(name).onnx, *arguments)
        assert said["seed"] == (0 if name.startswith("gan") else None)
        space = open_space(family(name).onnx)
        code = space.of_seed(0, np.array([0])) if said["seed"] == 0 else np.zeros((1, *space.shape), np.float32)
        code[0, 1] = 3
        np.testing.assert_array_equal(np.load("a.npy")[2], space.decode(code, None)[0])


def test_walk_between_images_has_a_class_for_each(latent, family):
    vae = family("vae").onnx
    latent("interpolate", vae, "one.png", "two.png", "--label", "ant,bee", "--frames", 4, "-o", "a.npy")
    for label, part in (("ant", slice(0, 2)), ("bee", slice(2, 4))):
        latent("interpolate", vae, "one.png", "two.png", "--label", label, "--frames", 4, "-o", "b.npy")
        np.testing.assert_array_equal(np.load("a.npy")[part], np.load("b.npy")[part])
