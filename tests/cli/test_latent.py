"""jaxgen latent ..., as a person or a script uses it, on tiny models of random weights."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from jaxgen.inference.predictor import Predictor
from jaxgen.inference.provenance import read_provenance

HEAVY = ("jax", "flax", "optax", "orbax", "torch", "onnx", "tensorflow", "sklearn", "grain", "matplotlib")
BASE_INSTALL = f"""
import sys
for name in {HEAVY}:
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
from jaxgen.cli import main
main()
"""
DIGITS = ("--dataset", "digits")


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


@pytest.mark.parametrize("name", ["vae", "flow"])
def test_interpolate_gives_the_same_images_in_each_kind_of_file(name, latent, family):
    model = family(name).onnx
    for output in ("a.png", "a.npy", "a.gif"):
        said = latent("interpolate", model, "--seeds", "3,4,5", "-n", 2, "--frames", 3, "-o", output)
    assert (said["seeds"], said["frames"], said["path"]) == ([3, 4, 5], 3, "spherical")
    images = np.load("a.npy")
    assert (images.shape, images.dtype) == ((2 * 2 * 3, 8, 8, 1), np.uint8)
    np.testing.assert_array_equal(pixels("a.png")[2:58:7, 2:58:7], images[0, ..., 0])
    with Image.open("a.gif") as film:
        assert film.n_frames == 8  # 6 and back; where two walks meet, Pillow shows one frame for longer
    found = read_provenance("a.png")
    assert (found["command"], found["seeds"], found["model"]) == ("interpolate", [3, 4, 5], said["model"])


def test_interpolate_between_images_by_their_noise(latent, unconditional):
    said = latent("interpolate", unconditional.onnx, "one.png", "two.png", "--frames", 3, "--path", "linear",
                  "--steps", 30, "-o", "a.npy")  # fmt: skip
    assert said["images"] == ["one.png", "two.png"]
    images = np.load("a.npy")[..., 0].astype(float)
    assert len(images) == 3
    for at, name in ((0, "one.png"), (2, "two.png")):
        assert np.abs(images[at] - pixels(name)).mean() < 5


def test_encode_writes_what_the_encoder_says(latent, family):
    vae = family("vae")
    said = latent("encode", vae.onnx, *DIGITS, "--count", 70, "--label", "ant", "-o", "z.npy")
    assert (said["shape"], said["model"]) == ([70, 3], vae.manifest["sha256"])
    assert said["images"] == [f"test[{i}]" for i in range(70)]
    from jaxgen import data

    want = Predictor.open(vae.encoder).read(data.load("digits", "test").images[:70])["mean"]
    np.testing.assert_allclose(np.load("z.npy"), want, atol=1e-6)


def test_label_goes_to_the_encoder_that_takes_it(latent, family):
    vae = family("vae-label")
    latent("encode", vae.onnx, "one.png", "two.png", "--label", "bee,ant", "-o", "z.npy")
    images = np.stack([pixels(name)[..., None] for name in ("one.png", "two.png")])
    want = Predictor.open(vae.encoder).read(images, [2, 0])
    np.testing.assert_allclose(np.load("z.npy"), want["mean"], atol=1e-6)
    said = latent("anomaly", vae.onnx, "one.png", "two.png", "--label", "bee,ant")["scores"]
    mean, log_variance = (want[name].astype(float) for name in ("mean", "log_variance"))
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1)
    assert [entry["kl"] for entry in said] == pytest.approx(kl, rel=1e-5)


def test_encode_of_a_plan_writes_noise(latent, unconditional):
    assert latent("encode", unconditional.onnx, "one.png", "-o", "z.npy")["shape"] == [1, 8, 8, 1]


def test_reconstruct_shows_pairs_and_says_how_far_apart_they_are(latent, family):
    model = family("vae").onnx
    said = latent("reconstruct", model, "one.png", "two.png", "--label", "bee", "-o", "a.npy")
    again = np.load("a.npy")[..., 0].astype(float)
    error = {name: np.abs(again[i] - pixels(name)).mean() / 255 for i, name in enumerate(("one.png", "two.png"))}
    found = {entry["image"]: entry["mean_absolute_error"] for entry in said["images"]}
    assert found == pytest.approx(error)
    latent("reconstruct", model, "one.png", "two.png", "--label", "bee", "-o", "SHEET.PNG")
    sheet = pixels("SHEET.PNG")
    assert sheet.shape == (2 + 2 * 58, 2 + 2 * 58)
    np.testing.assert_array_equal(sheet[2:58:7, 60:116:7], pixels("two.png"))


def test_anomaly_scores_the_dataset_and_its_auroc_is_that_of_its_scores(latent, family, command):
    arguments = ("anomaly", family("vae").onnx, *DIGITS, "--label", 0, "--outlier", 8, "--show", 3)
    said = latent(*arguments)
    assert len(said["scores"]) == 300 and len(said["shown"]) == 3
    from jaxgen import data

    labels = data.load("digits", "test").labels
    for entry in said["scores"]:
        assert entry["score"] == pytest.approx(entry["reconstruction"] + entry["kl"])
    assert [entry["class"] for entry in said["scores"]] == [str(label) for label in labels]
    assert said["auroc"] == pytest.approx(roc_auc_score(labels == 8, [entry["score"] for entry in said["scores"]]))
    assert said["shown"][0] == max(said["scores"], key=lambda entry: entry["score"])["image"]
    assert pixels("anomaly.png").shape == (2 + 3 * 58, 2 + 3 * 58, 3)
    result = command("latent", *arguments)
    head, first, *_, auroc, path = result.out.splitlines()
    assert head.split() == ["image", "class", "score", "reconstruction", "kl"]
    assert first.split()[0] == said["shown"][0]
    assert auroc == f"AUROC of class 8 against the rest: {said['auroc']:.4f}"
    assert path == "anomaly.png"
    assert "was not trained without class 8" in result.err


@pytest.mark.parametrize(("name", "key"), [("anomaly", "scores"), ("reconstruct", "images")])
def test_images_of_one_name_in_two_folders_are_both_reported(name, key, latent, family, tmp_path):
    for folder, old in (("x", "one"), ("y", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / f"{old}.png").rename(tmp_path / folder / "1.png")
    said = latent(name, family("vae").onnx, "x/1.png", "y/1.png", "--label", 0)[key]
    assert [entry["image"] for entry in said] == ["x/1.png", "y/1.png"]
    a, b = ([value for value in entry.values() if isinstance(value, float)] for entry in said)
    assert a != b


@pytest.mark.parametrize(
    "arguments", [("encode", "-o", "a.npy"), ("cluster", "--clusters", 2), ("map", "-o", "a.npy")], ids=lambda a: a[0]
)
def test_an_encoder_is_given_no_class(arguments, latent, family):
    name, *rest = arguments
    latent(name, family("vae").onnx, "one.png", "two.png", "two.png", *rest)


def test_latents_that_make_fewer_clusters_are_refused(family, command, monkeypatch):
    from jaxgen.latent.inputs import Images

    found = Images(images=np.zeros((3, 8, 8, 1), np.uint8), labels=np.zeros(3, int), names=list("abc"), classes=("no",))
    monkeypatch.setattr(Images, "from_dataset", lambda *arguments, **options: found)
    arguments = ("cluster", family("vae").onnx, *DIGITS, "--clusters", 2)
    outcome = command("latent", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "k-means with 2 clusters needs 2 or more different latents: all 3 are equal" in outcome.err


def test_classify_is_a_discriminant_analysis_of_the_encoders_means(latent, family):
    vae = family("vae")
    said = latent("classify", vae.onnx, *DIGITS)
    from jaxgen import data

    reader, splits = Predictor.open(vae.encoder), [data.load("digits", split) for split in ("train", "test")]
    train, test = ((reader.read(split.images)["mean"].astype(float), split.labels) for split in splits)
    assert said["accuracy"] == pytest.approx(LinearDiscriminantAnalysis().fit(*train).score(*test), abs=0.011)
    assert (said["trained_on"], said["tested_on"], len(said["classes"])) == (1497, 300, 10)


def test_cluster_says_its_purity_and_shows_a_cluster_a_row(latent, family):
    said = latent("cluster", family("vae").onnx, *DIGITS, "--label", 0, "--clusters", 4)
    assert sum(said["sizes"]) == 300 and len(said["sizes"]) == 4
    assert 0.1 <= said["purity"] <= 1
    height, width = pixels("clusters.png").shape
    assert height > 4 * (2 + 58 + 12) and width == 2 + 12 * 58  # a line of text above each row


def test_map_plots_a_scatter_and_writes_its_points(latent, family):
    model = family("vae").onnx
    assert latent("map", model, *DIGITS, "--label", 0, "--count", 50)["method"] == "pca"
    assert len(np.unique(pixels("map.png").reshape(-1, 3), axis=0)) > 20  # colours of classes
    latent("map", model, *DIGITS, "--label", 0, "--count", 50, "-o", "points.npy")
    assert np.load("points.npy").shape == (50, 2)


def test_traverse_sweeps_the_named_dimensions(latent, family):
    said = latent("traverse", family("gan").onnx, "--dimensions", "4,0", "--frames", 5, "--label", 1, "-o", "a.npy")
    assert said["dimensions"] == [4, 0]
    assert np.load("a.npy").shape == (10, 8, 8, 1)
    latent("traverse", family("gan").onnx, "-o", "a.gif", "--frames", 4, "--seed", 3)
    with Image.open("a.gif") as film:
        assert film.n_frames == 6  # there and back


def test_inpaint_keeps_what_is_known(latent, unconditional):
    latent("inpaint", unconditional.onnx, "one.png", "--mask", "left", "-n", 3, "--steps", 4, "-o", "a.npy")
    images = np.load("a.npy")
    np.testing.assert_array_equal(images[..., 4:, 0], np.stack([pixels("one.png")[:, 4:]] * 3))
    assert (images[..., :4, 0] != pixels("one.png")[:, :4]).mean() > 0.5
    latent("inpaint", unconditional.onnx, "one.png", "--mask", "left", "-n", 3, "--steps", 4)
    assert pixels("inpainting.png").shape == (60, 2 + 5 * 58)


def test_help_names_what_a_command_takes_and_what_happens_without_it(command):
    from jaxgen.latent.interpolation import PATHS
    from jaxgen.latent.projection import METHODS

    def shown(*arguments):
        return " ".join(command("latent", *arguments, "--help").out.split())

    assert "..." not in shown().split("Commands:")[1]
    for name in ("anomaly", "traverse"):  # codes have no plan
        assert not any(option in shown(name) for option in ("--steps", "--guidance", "--refine"))
    assert set(re.search(r"--path \[(.*?)\]", shown("interpolate"))[1].split("|")) == set(PATHS)
    assert set(re.search(r"--method \[(.*?)\]", shown("map"))[1].split("|")) == {*METHODS, "manifold"}
    default = {name: re.search(r"--guidance .*?\[default: (.*?)\]", shown(name))[1] for name in ("inpaint", "encode")}
    assert default == {"inpaint": "the model's", "encode": "1"}


def test_inpaint_is_guided_as_its_help_says(latent, conditional):
    arguments = ("inpaint", conditional.onnx, "one.png", "--label", 1, "-n", 2, "--steps", 4, "-o", "a.npy")
    drawn = []
    for guidance in ((), ("--guidance", conditional.config.diffusion.guidance), ("--guidance", 1)):
        latent(*arguments, *guidance)
        drawn.append(np.load("a.npy"))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_base_install_does_all_but_clusters_and_scatter_plots(latent, family, unconditional, tmp_path):
    vae = family("vae").onnx
    label = ("--label", "ant")
    lines = [
        (0, "interpolate", vae),
        (0, "reconstruct", vae, "one.png", *label),
        (0, "encode", unconditional.onnx, "one.png"),
        (0, "anomaly", vae, "one.png", "two.png", *label),
        (0, "traverse", vae, "one.png", *label),
        (0, "inpaint", unconditional.onnx, "one.png", "--steps", 2),
        (4, "cluster", vae, "one.png", "two.png", *label, "--clusters", 2),
        (4, "map", vae, "one.png", "two.png", "one.png", *label),
        (0, "map", vae, "one.png", "two.png", "one.png", *label, "-o", "points.npy"),
    ]
    for code, *arguments in lines:
        command = [sys.executable, "-c", BASE_INSTALL, "latent", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == code, (arguments, done.stderr)
        if code == 4:
            assert "pip install -c constraints.txt -e '.[train]'" in done.stderr and done.stderr.count("\n") == 1
