"""`jaxgen eval`: what is scored, what is printed and drawn, and what is refused in a line."""

import functools
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from jaxgen import data, shipped
from jaxgen.errors import install
from jaxgen.images import png_text, read_png, save_png
from jaxgen.inference.model import Model
from jaxgen.inference.predictor import Predictor

N = ("-n", 60)


@pytest.fixture(scope="module")
def run_of(any_model, tmp_path_factory):
    """run_of(name): a run folder of the same weights as that model's file."""
    from jaxgen.training.restore import start_run

    @functools.cache
    def make(name):
        made, folder = any_model(name), tmp_path_factory.mktemp("runs") / name
        start_run(made.config, made.params, folder, classes=made.classes)
        return folder

    return make


@pytest.fixture(scope="module")
def reader(family):
    """An extractor of grey 8x8 images, of random weights."""
    return family("classifier").onnx


@pytest.fixture
def digits(tmp_path):
    """The first hundred digits, as an array and as a folder of RGB files."""
    images = data.load("digits").images[:100]
    np.save(tmp_path / "digits.npy", images)
    (tmp_path / "folder").mkdir()
    for number, image in enumerate(images):
        save_png(tmp_path / "folder" / f"{number:03d}.png", np.repeat(image, 3, -1), {})
    return tmp_path / "digits.npy"


def said(outcome):
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def scores_of(report):
    return {name: score["value"] for name, score in report["scores"].items()}


# ---- what is scored


def test_run_scores_as_its_exported_file_for_each_number_of_steps(command, run_of, unconditional, reader):
    common = ("--dataset", "digits", "--extractor", reader, *N, "--steps", "1,3", "--json")
    by_file, by_run = (
        said(command("eval", target, *common)) for target in (unconditional.onnx, run_of("unconditional"))
    )
    assert [report["steps"] for report in by_run["reports"]] == [1, 3]
    for ours, theirs in zip(by_run["reports"], by_file["reports"], strict=True):
        assert scores_of(ours) == pytest.approx(scores_of(theirs), rel=0.02, abs=0.02)
    one, three = (scores_of(report)["fid"] for report in by_run["reports"])
    assert one != three


def test_vae_has_a_likelihood_as_a_file_and_as_a_run(command, run_of, family):
    made = family("vae-convolutional")
    common = ("--dataset", "digits", "--extractor", made.encoder, *N, "--samples", 8, "--json")
    by_file, by_run = (said(command("eval", target, *common)) for target in (made.onnx, run_of("vae-convolutional")))
    assert set(by_file["scores"]) == {
        "fid", "kid", "precision", "recall", "density", "coverage", "memorisation", "palette", "elbo", "nll",
    }  # fmt: skip
    assert "encoder" in by_file["left_out"]["inception_score"] and by_file["scores"]["nll"]["floor"] is None
    assert by_file["likelihood"] == {"images": 300, "samples": 8, "likelihood": "bernoulli", "binarized": False}
    nats = scores_of(by_file)
    assert nats["elbo"] < -nats["nll"] < 0  # the tighter of two bounds
    for name in ("elbo", "nll", "fid"):
        assert scores_of(by_run)[name] == pytest.approx(nats[name], rel=1e-3)


def test_vae_without_its_encoder_says_that_it_has_no_likelihood(command, family, reader, tmp_path):
    made = family("vae-convolutional")
    alone = shutil.copy(made.onnx, tmp_path / "alone.onnx")
    common = ("--dataset", "digits", "--extractor", made.encoder, *N, "--samples", 2)
    outcome = command("eval", alone, *common, "--metrics", "kid,nll")
    assert outcome.code == 2 and "there is no encoder" in outcome.err and "alone.encoder.onnx" in outcome.err
    outcome = command("eval", alone, *common)
    assert outcome.code == 0 and "left out: elbo, nll: there is no encoder" in outcome.out
    wrong = family("vae").encoder
    shutil.copy(wrong, tmp_path / "alone.encoder.onnx")
    assert "is not the encoder of" in command("eval", alone, *common).out


def test_conditional_model_is_scored_by_its_classes(command, family, reader):
    report = said(command("eval", family("gan").onnx, "--dataset", "digits", "--extractor", reader, *N, "--json"))
    images, _ = Model.open(family("gan").onnx).sample(np.zeros(60, int), np.arange(60), label=np.arange(60) % 3)
    right = Predictor.open(reader).read(images)["logits"].argmax(1) == np.arange(60) % 3
    assert report["scores"]["label_accuracy"]["value"] == pytest.approx(right.mean())


def test_folder_of_grey_rgb_files_scores_as_the_array(command, digits, reader):
    common = ("--dataset", "digits", "--extractor", reader, "--json")
    array, folder = (said(command("eval", target, *common)) for target in (digits, digits.parent / "folder"))
    assert array["scores"] == folder["scores"] and array["n"] == 100 and array["steps"] is None


def test_metrics_may_be_chosen(command, digits, reader):
    common = ("--dataset", "digits", "--extractor", reader)
    assert set(said(command("eval", digits, *common, "--metrics", "kid,recall", "--json"))["scores"]) == {
        "kid",
        "recall",
    }
    assert "fid" not in command("eval", digits, *common, "--metrics", "kid").out


# ---- what is printed and drawn


def test_table_of_steps_has_a_column_each_and_the_floor(command, unconditional, reader, tmp_path):
    plot = tmp_path / "plot.png"
    outcome = command(
        "eval", unconditional.onnx, "--dataset", "digits", "--extractor", reader, *N, "--steps", "1,2",
        "--metrics", "fid,kid", "--plot", plot,
    )  # fmt: skip
    head, fid, kid, *_, last = outcome.out.splitlines()
    assert head.split() == ["steps", "1", "2", "floor"] and fid.startswith("fid ") and kid.startswith("kid ")
    assert fid.count("±") == 2 and last.startswith("60 images against 60 training images; floor: 60 test images")
    assert read_png(plot).std() > 5
    lines = outcome.err.splitlines()
    assert all(line.endswith(" ...") for line in lines) and sum("images of" in line for line in lines) == 2


def test_plot_has_the_floor_and_moves_with_the_scores():
    from jaxgen.plots import draw_score

    draw = functools.partial(draw_score, [1, 2, 4], margins=[0.1, 0.1, float("nan")], name="FID", title="t")
    images = [draw([5.0, 3.0, 2.0], floor=floor) for floor in (None, 1.0, 1.5)] + [draw([5.0, 3.0, 2.5], floor=1.0)]
    assert all((one != other).any() for i, one in enumerate(images) for other in images[:i] if one.shape == other.shape)
    draw([1.0, 0.0, -1.0], floor=0.0)  # KID may be below 0, where no logarithm is


def test_sheet_says_what_it_shows(command, digits, reader, tmp_path):
    sheet = tmp_path / "sheet.png"
    outcome = command(
        "eval", digits, "--dataset", "digits", "--extractor", reader, "--metrics", "kid", "--sheet", sheet
    )
    assert outcome.code == 0, outcome.err
    kept = json.loads(png_text(sheet)["jaxgen-eval"])
    assert kept["target"] == str(digits) and kept["dataset"] == "digits" and len(kept["extractor"]) == 64
    assert read_png(sheet).shape[0] > 400


def test_pipe_gets_a_line_for_each_stage(capsys):
    from jaxgen.cli.progress import ProgressBar

    with ProgressBar() as tell:
        for done in range(3):
            tell("sampling", done, 2)
        tell("scores: fid", 0, 2)
        tell("scores: kid", 1, 2)
    assert capsys.readouterr() == ("", "sampling ...\nscores ...\n")


# ---- an earlier report


@pytest.fixture
def earlier(command, digits, reader, tmp_path):
    outcome = command("eval", digits, "--dataset", "digits", "--extractor", reader, "--metrics", "kid,recall", "--json")
    path = tmp_path / "earlier.json"
    path.write_text(outcome.out)
    return path


def test_earlier_report_stands_beside_the_new_one(command, digits, reader, earlier):
    common = ("eval", digits, "--dataset", "digits", "--extractor", reader, "--metrics", "kid,density")
    head, kid, density = command(*common, "--compare", earlier).out.splitlines()[:3]
    assert head.split()[-1] == "earlier" and len(density.split()) == len(kid.split()) - 1  # density was not measured
    value = json.loads(earlier.read_text())["scores"]["kid"]["value"]
    assert kid.split()[-1] == f"{value:.4g}" == kid.split()[1]
    earlier.write_text(json.dumps(json.loads(earlier.read_text()) | {"dataset": "folder:/where/it/was"}))  # was moved
    assert said(command(*common, "--compare", earlier, "--json"))["earlier"] == {"kid": value, "density": None}


@pytest.mark.parametrize(
    ("key", "other", "words"),
    [
        ("extractor", "f" * 64, "the extractor was ffffffffffff, and is .* give the file of that hash by --extractor"),
        ("n", 50, "the number of images was 50, and is 100 now, so that scores differ; give -n"),
        ("dataset", "mnist", "the dataset was mnist, and is digits now"),
        ("data", "0" * 64, "the hash of the dataset's images was 000000000000, and is .* score both on the same data"),
    ],
)
def test_report_that_is_not_comparable_is_refused(refused, digits, reader, earlier, key, other, words):
    report = json.loads(earlier.read_text()) | {key: other}
    if key == "dataset":
        del report["data"]  # as in a report of an earlier version, which knows the data by their name alone
    earlier.write_text(json.dumps(report))
    line = refused(2, "eval", digits, "--dataset", "digits", "--extractor", reader, "--compare", earlier)
    assert re.search(words, line)


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"reports": []}', '{"scores": 3}'])
def test_what_is_no_report_is_refused(refused, digits, reader, tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    common = ("--dataset", "digits", "--extractor", reader, "--compare", tmp_path / "bad.json")
    assert "is no report of" in refused(3, "eval", digits, *common)


# ---- an extractor of one's own


@pytest.fixture
def plain(tmp_path):
    """Images of no classes: as a dataset, and as an array to score."""
    images = data.load("digits").images[:60]
    (tmp_path / "plain").mkdir()
    for number, image in enumerate(images[:50]):
        save_png(tmp_path / "plain" / f"{number:02d}.png", image, {})
    np.save(tmp_path / "mine.npy", images)
    return f"folder:{tmp_path / 'plain'}"


def test_extractor_is_fitted_once_and_used_from_then_on(command, plain, monkeypatch, tmp_path):
    from jaxgen.training import extractor
    from jaxgen_export import export

    monkeypatch.setattr(shipped, "EXTRACTORS", tmp_path / "none")
    monkeypatch.setattr(extractor, "STEPS", 2)
    monkeypatch.setattr(extractor, "LATENT", 4)
    monkeypatch.setattr(export, "export_model", functools.partial(export.export_model, certify=False))
    common = ("eval", "mine.npy", "--dataset", plain, "--metrics", "fid,recall", "--json")
    without = command(*common)
    assert without.code == 2 and "--fit-extractor --dataset folder:" in without.err
    first = command(*common, "--fit-extractor")
    (kept,) = (tmp_path / "cache" / "jaxgen" / "extractors").iterdir()  # the run is gone
    assert f"{kept}: the extractor of {plain} from now on" in first.err
    assert said(first)["extractor"].startswith(kept.stem[-12:]) and said(first)["floor_n"] == 5
    for again in (common, (*common, "--fit-extractor")):
        assert said(command(*again)) == said(first)
    alone = command("eval", "--dataset", plain, "--fit-extractor")
    assert (alone.code, alone.out) == (0, f"{kept}\n")


def test_fitting_without_its_extras_says_what_to_install(plain, tmp_path):
    code = "import sys; sys.modules['torch'] = None; from jaxgen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "eval", "mine.npy", "--dataset", plain, "--fit-extractor"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    want = f"jaxgen: this needs torch, which is not installed; {install('export')}\n"
    assert (done.returncode, done.stdout, done.stderr) == (4, "", want)


# ---- what is refused


def test_images_that_cannot_be_scored_are_refused(refused, digits, reader, tmp_path):
    images = np.load(digits)
    rng = np.random.default_rng(0)
    for name, array in {
        "few": images[:8], "equal": images[:1].repeat(50, 0), "large": images.repeat(2, 1).repeat(2, 2),
        "colour": rng.integers(0, 256, (50, 8, 8, 3), np.uint8),
    }.items():  # fmt: skip
        np.save(tmp_path / f"{name}.npy", array)
    common = ("--dataset", "digits", "--extractor", reader)
    few = refused(2, "eval", tmp_path / "few.npy", *common)
    assert few == "the Frechet distance of 8 features needs at least 9 images, got 8"
    assert "images of 16x16x1, and the extractor reads 8x8x1" in refused(2, "eval", tmp_path / "large.npy", *common)
    assert "images of 8x8x3, and the extractor reads 8x8x1" in refused(2, "eval", tmp_path / "colour.npy", *common)
    assert "are for a model, and images are named" in refused(2, "eval", digits, *common, "--steps", 3)


def test_constant_images_are_refused(command, digits, reader, tmp_path):
    np.save(tmp_path / "equal.npy", np.load(digits)[:1].repeat(50, 0))
    outcome = command("eval", tmp_path / "equal.npy", "--dataset", "digits", "--extractor", reader)
    assert outcome.code == 2 and outcome.err.endswith("all 50 images are equal; there is nothing to compare\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metrics", "label_accuracy"], "its images are of no known classes"),
        (["--metrics", "fid,nll"], "nll of .*images are given, and no model"),
        (["--metrics", "fiid"], "unknown metric 'fiid'; choose from fid, kid"),
        (["--plot", "p.png"], "give several --steps"),
        (["--steps", "1,2", "--plot", "p.jpg"], "--plot takes FILE.png"),
        (["--steps", "1,2", "--plot", "p.png", "--metrics", "kid"], "which --metrics leaves out"),
        (["--steps", "1,2", "--sheet", "s.png"], "give one number of --steps"),
        (["--steps", "1,2", "--compare", "r.json"], "give one number of --steps"),
        (["--steps", "1,0"], "no list of numbers"),
        (["--steps", "2,2"], "numbers that differ"),
        (["--fit-extractor"], "give one of them"),
    ],
)
def test_options_that_say_nothing_are_refused(refused, digits, reader, options, words):
    line = refused(2, "eval", digits, "--dataset", "digits", "--extractor", reader, *options)
    assert re.search(words, line), line


def test_model_is_asked_for_nothing_that_it_cannot_do(refused, unconditional, family, run_of, reader):
    common = ("--dataset", "digits", "--extractor", reader)
    assert "61" in refused(2, "eval", unconditional.onnx, *common, "--steps", "2,61")
    assert "61" in refused(2, "eval", run_of("unconditional"), *common, "--steps", "2,61")
    assert "no guidance" in refused(2, "eval", run_of("unconditional"), *common, "--guidance", 2)
    assert "it has no plan" in refused(2, "eval", family("gan").onnx, *common, "--steps", 2)
    assert "it has no plan" in refused(2, "eval", run_of("gan"), *common, "--steps", 2)
    assert "generates no images" in refused(2, "eval", run_of("classifier"), *common)
    accuracy = refused(2, "eval", unconditional.onnx, *common, "--metrics", "label_accuracy")
    assert accuracy == f"label_accuracy of {unconditional.onnx}: its images are of no known classes"


def test_nothing_to_score_is_refused(refused):
    assert "give what to score" in refused(2, "eval", "--dataset", "digits")
