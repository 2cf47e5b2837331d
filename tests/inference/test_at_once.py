"""Models that draw in one evaluation and files that read images, as a person meets them on the base install."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import captioned, read_png
from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen.inference.opening import opened
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.provenance import read_provenance
from jaxgen.inference.request import Request
from jaxgen.inference.verify import verify
from jaxgen.sampling import prng

NOTHING = dict.fromkeys(("label", "guidance", "sampler", "steps", "eta"))


def ask(model, **wishes):
    return Request.checked(model, **{"seed": 0, "first": 0, "count": 4, **NOTHING, **wishes})


@pytest.fixture
def vae(family):
    return Model.open(family("vae").onnx)


@pytest.fixture
def gan(family):
    return Model.open(family("gan-unconditional").onnx)


# --- drawing


def test_request_has_no_plan_and_no_guidance(gan):
    assert ask(gan) == Request(count=4)
    assert ask(gan).plan(gan) is None


@pytest.mark.parametrize("wish", [{"steps": 3}, {"sampler": "ddim"}, {"eta": 0.5}])
def test_plan_is_refused_in_one_line(gan, wish):
    with pytest.raises(UsageError, match="samples in one evaluation: it has no plan"):
        ask(gan, **wish)


def test_model_that_needs_a_class_samples_all_in_turn_unless_one_is_named(vae):
    assert ask(vae).label == "all"
    assert ask(vae, label="bee").label == 2
    with pytest.raises(UsageError, match="label must be a class"):
        ask(vae, label="-1")
    with pytest.raises(UsageError, match="label must be from 0 to 2"):
        vae.sample(np.zeros(1, int), np.zeros(1, int), label=np.array([-1]))
    whole, _ = vae.sample(np.zeros(6, int), np.arange(6))
    turned, _ = vae.sample(np.zeros(6, int), np.arange(6), label=np.array([0, 1, 2, 0, 1, 2]))
    np.testing.assert_array_equal(whole, turned)


def test_noise_of_an_image_given_as_its_latent_gives_that_image(vae):
    seeds, index, label = np.array([5, 6]), np.array([1, 9]), np.array([0, 2])
    latent = prng.image_noise(seeds, index, 0, vae.noise_shape)
    drawn, state = vae.sample(seeds, index, label=label)
    decoded, _ = vae.sample(seeds * 0, index * 0, label=label, latent=latent)
    assert state is None
    assert np.abs(drawn.astype(int) - decoded).max() <= 1


@pytest.mark.parametrize("latent", [np.zeros((2, 4)), np.zeros((1, 3)), np.full((2, 3), np.nan)])
def test_latent_of_another_shape_or_nan_is_refused(vae, latent):
    with pytest.raises(UsageError, match="latent must"):
        vae.sample(np.zeros(2, int), np.arange(2), latent=latent)


def test_latent_and_state_are_not_mixed_up(vae, unconditional):
    one = np.zeros(1, int)
    with pytest.raises(UsageError, match="no plan"):
        vae.sample(one, one, state=np.zeros((2, 1, 8, 8, 1)))
    with pytest.raises(UsageError, match="takes a state, and no latent"):
        Model.open(unconditional.onnx).sample(one, one, latent=np.zeros((1, 3)))


def test_sheet_replays_and_gif_is_refused(jaxgen, family, tmp_path):
    model, sheet = family("vae").onnx, tmp_path / "sheet.png"
    assert jaxgen("sample", model, "-n", 5, "--label", "#1", "--seed", 9, "-o", sheet).returncode == 0
    said = read_provenance(sheet)
    assert (said["plan"], said["guidance"], said["label"]) == (None, None, 1)
    done = jaxgen("replay", sheet, "--model", model)
    assert (done.returncode, done.stdout) == (0, "identical: every pixel\n")
    done = jaxgen("sample", model, "--gif", "-o", tmp_path / "x.gif")
    assert done.returncode == 2
    assert "jaxgen latent interpolate" in done.stderr
    assert not (tmp_path / "x.gif").exists()


def test_png_of_a_plan_is_not_understood_by_a_model_without(family, gan):
    words = Request(count=1).provenance(gan, 0).record() | {"plan": {"sampler": "ddim", "steps": 3, "eta": 0.0}}
    with pytest.raises(JaxgenError, match="no plan"):
        Request.from_provenance(gan, words)


def test_jpeg_is_about_the_png(jaxgen, unconditional, tmp_path):
    for name in ("a.png", "a.jpg"):
        assert jaxgen("sample", unconditional.onnx, "-n", 4, "-o", tmp_path / name).returncode == 0
    png, jpeg = read_png(tmp_path / "a.png"), np.asarray(Image.open(tmp_path / "a.jpg"))
    assert np.abs(png[..., 0].astype(int) - jpeg).mean() < 8


@pytest.mark.parametrize("arguments", [["--gif", "-o", "x.png"], ["--preset", "gan-digits"], ["--untrained"]])
def test_options_that_contradict_are_refused(jaxgen, unconditional, arguments, tmp_path):
    model = [] if "--preset" in arguments else [unconditional.onnx]
    done = jaxgen("sample", *model, *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


# --- untrained


def test_untrained_images_say_so_in_the_image_its_text_and_the_terminal(jaxgen, tmp_path):
    done = jaxgen("sample", "--preset", "gan-digits", "--untrained", "-n", 4, "-o", tmp_path / "u.png")
    assert done.returncode == 0, done.stderr
    assert "untrained" in done.stderr
    assert read_provenance(tmp_path / "u.png")["untrained"] is True
    strip = read_png(tmp_path / "u.png")[:12]
    assert (strip == 255).mean() > 0.5  # white, with letters on it
    assert (strip < 100).any()


def test_caption_is_above_the_image_and_leaves_it_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (20, 300, 3), np.uint8)
    whole = captioned(image, "words")
    np.testing.assert_array_equal(whole[-20:], image)
    narrow = captioned(image[:, :10], "a longer line of words")
    assert narrow.shape[1] > 100
    np.testing.assert_array_equal(narrow[-20:, :10], image[:, :10])


# --- readers


def test_sampler_and_reader_refuse_each_others_files(family):
    with pytest.raises(JaxgenError, match="generates no images: it is an encoder"):
        Model.open(family("vae").encoder)
    with pytest.raises(JaxgenError, match=r"reads no images.*second file"):
        Predictor.open(family("vae").onnx)


@pytest.mark.parametrize("images", [np.zeros((1, 8, 8, 1)), np.zeros((1, 9, 8, 1), np.uint8)])
def test_reader_refuses_other_images(family, images):
    with pytest.raises(UsageError, match="images must"):
        Predictor.open(family("vae").encoder).read(images)


def test_reader_in_batches_says_the_same(family):
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), np.uint8)
    reader = Predictor.open(family("vae").encoder)
    whole, parts = reader.read(images), reader.read(images, batch_size=3)
    assert whole.keys() == {"mean", "log_variance"}
    for name, values in whole.items():
        np.testing.assert_allclose(values, parts[name], atol=1e-5)


def test_encoder_that_takes_the_class_reads_in_batches_too(family):
    images, label = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), np.uint8), np.arange(7) % 3
    reader = Predictor.open(family("vae-label").encoder)
    whole, parts = reader.read(images, label), reader.read(images, label.astype(np.uint8), batch_size=3)
    for name, values in whole.items():
        np.testing.assert_allclose(values, parts[name], atol=1e-5)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "takes the class of each image besides the image: give labels from 0 to 2"),
        ([0, 3], "label must be from 0 to 2, got 3"),
        ([-1, 0], "label must be from 0 to 2, got -1"),
        ([0, 1, 2], r"label must have the shape \(2,\), got \(3,\)"),
        ([0.0, 1.0], "label must be integers"),
        ("ab", "label must be integers"),
    ],
)
def test_encoder_refuses_labels_that_are_none(family, label, words):
    with pytest.raises(UsageError, match=words) as refused:
        Predictor.open(family("vae-label").encoder).read(np.zeros((2, 8, 8, 1), np.uint8), label)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["vae", "classifier"])
def test_reader_of_images_alone_refuses_labels(family, name):
    model = family(name)
    with pytest.raises(UsageError, match="reads images alone: it takes no label"):
        Predictor.open(model.encoder if name == "vae" else model.onnx).read(np.zeros((1, 8, 8, 1), np.uint8), [0])


def test_encoder_whose_graph_is_not_what_its_manifest_says_is_refused(family, restamped):
    def lie(entries):
        entries["inference"]["takes_label"] = not entries["inference"].get("takes_label", False)

    for name, wanted in (("vae", r"\['images', 'label'\]"), ("vae-label", r"\['images'\]")):
        with pytest.raises(JaxgenError, match=f"expected the inputs {wanted}, got"):
            Predictor.open(restamped(family(name).encoder, manifest=lie))


def test_probe_of_an_encoder_that_takes_the_class_needs_its_labels(family, restamped):
    for broken in (None, [0, 1], ["a"] * 8, [9] * 8):

        def change(manifest, broken=broken):
            manifest["certificate"]["probe"]["label"] = broken

        with pytest.raises(JaxgenError, match=r"restamped\.onnx: "):
            verify(opened(model_file.read(restamped(family("vae-label").encoder, manifest=change))))


@pytest.mark.parametrize("name", ["vae", "classifier"])
def test_reader_is_verified_by_its_numbers(jaxgen, family, name):
    model = family(name)
    path = model.encoder if name == "vae" else model.onnx
    done = jaxgen("verify", path, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["same"] is True
    assert result["relative"] < 1e-5


def test_reader_of_other_numbers_is_not_verified(family, restamped):
    def change(manifest):
        manifest["certificate"]["probe"]["outputs"]["mean"][0][0] += 1.0

    result = verify(opened(model_file.read(restamped(family("vae").encoder, manifest=change))))
    assert result["same"] is False


@pytest.mark.parametrize("key", ["images", "outputs"])
def test_broken_probe_of_a_reader_is_the_files_fault(family, restamped, key):
    for broken in ("text", 7, []):

        def change(manifest, broken=broken):
            manifest["certificate"]["probe"][key] = broken

        with pytest.raises(JaxgenError, match=r"restamped\.onnx: "):
            verify(opened(model_file.read(restamped(family("vae").encoder, manifest=change))))


def test_info_of_every_kind_of_file(jaxgen, family):
    for path in (family("vae").onnx, family("vae").encoder, family("flow").onnx, family("classifier").onnx):
        done = jaxgen("info", path)
        assert done.returncode == 0, done.stderr
        assert "certificate" in done.stdout
    assert "classifier" in done.stdout
    for name, words in (("vae", "reads images: encoder"), ("vae-label", "reads images and their classes: encoder")):
        assert words in jaxgen("info", family(name).encoder).stdout
