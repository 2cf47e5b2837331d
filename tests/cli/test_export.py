"""jaxgen export, from a run that was trained for six steps, or from runs of given weights."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from golden import calls
from tiny import random_weights

from jaxgen import config as configs
from jaxgen.cli import main
from jaxgen.config import VAE, Classifier, ClassifierConfig, Config, VAEConfig
from jaxgen.errors import install
from jaxgen.inference import model_file
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.required_inputs import with_required_inputs
from jaxgen.models import network as networks
from jaxgen.training.restore import load_trained, start_run
from jaxgen.training.trainer import train
from jaxgen_export import export as exports, weight_mapping
from jaxgen_export.quantization import Quantize
from jaxgen_serve.web.npm_packages import Package


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "run"
    train(configs.override(small, ["model.classes=10", "diffusion.steps=20"]), folder)
    return folder


@pytest.fixture(scope="module")
def started(small, tmp_path_factory):
    """started(config, classes): a run of random weights."""

    def start(config: Config, classes: str = "") -> Path:
        folder = tmp_path_factory.mktemp("started") / "run"
        start_run(replace(config, data=small.data), random_weights(config), folder, classes=classes)
        return folder

    return start


@pytest.fixture(scope="module")
def vae_run(started):
    return started(VAE(model=VAEConfig(latent=2, hidden=(8,))))


@pytest.fixture(scope="module")
def classifier_run(started):
    return started(Classifier(model=ClassifierConfig(widths=(4,), features=4)), "0123456789")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """A folder with that run's file and its TorchScript, and the command's code and what it said."""
    folder, out, err = tmp_path_factory.mktemp("exported"), io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(sys, "argv", ["jaxgen", "export", str(run), "-o", "m.onnx", "--torchscript", "m.ts"])
        with pytest.raises(SystemExit) as ended:
            main()
    return folder, ended.value.code, out.getvalue(), err.getvalue()


@pytest.fixture
def captured(monkeypatch):
    """What would have been exported, without the work."""
    calls = []

    def export_model(config, params, path, **rest):
        calls.append((config, params, path, rest))

    monkeypatch.setattr(exports, "export_model", export_model)
    return calls


def listing(folder=Path()):
    return sorted(path.name for path in folder.iterdir() if path.name != "cache")


def test_run_becomes_one_file_that_samples(command, run, exported):
    folder, code, out, err = exported
    file = folder / "m.onnx"
    assert (code, out) == (0, "m.onnx\n")
    for backend in ("pytorch", "torchscript", "onnxruntime"):
        assert f"\n{backend} " in err
    assert listing(folder) == ["m.onnx", "m.ts"]
    assert b"manifest.json" in (folder / "m.ts").read_bytes()
    manifest = model_file.read(file).manifest
    assert manifest["inference"]["classes"] == list("0123456789")
    assert manifest["training"]["dataset"] == "digits"
    assert manifest["training"]["steps"] == 6
    assert manifest["palette"] == [f"#{3 * f'{round(k * 255 / 16):02x}'}" for k in range(17)]
    assert manifest["weights"]["sha256"] == networks.weights_hash(load_trained(run).params)
    assert command("verify", file).code == 0
    assert command("sample", file, "-n", 3, "--label", 7, "-o", "a.npy").code == 0
    assert np.load("a.npy").shape == (3, 8, 8, 1)


def test_required_inputs_leave_the_graph_no_default_and_the_images_as_they_are(command, run, exported):
    outcome = command("export", run, "-o", "r.onnx", "--inputs", "required")
    assert (outcome.code, outcome.out) == (0, "r.onnx\n")
    required, optional = model_file.read("r.onnx"), model_file.read(exported[0] / "m.onnx")
    assert "made_from" not in required.manifest  # its certificate was measured on this very file
    assert required.manifest["certificate"]["probe"] == optional.manifest["certificate"]["probe"]
    of_graph = [onnx.load_from_string(one.data).graph for one in (required, with_required_inputs(optional))]
    assert of_graph[0] == of_graph[1] and not of_graph[0].initializer
    assert command("verify", "r.onnx").code == 0
    for name, file in (("r", "r.onnx"), ("m", exported[0] / "m.onnx")):
        assert command("sample", file, "-n", 3, "-o", f"{name}.npy").code == 0
    assert np.array_equal(np.load("r.npy"), np.load("m.npy"))


def test_exported_file_becomes_one_with_required_inputs_that_replays_its_images(command, conditional):
    outcome = command("export", conditional.onnx, "--inputs", "required", "-o", "r.onnx")
    assert (outcome.code, outcome.out, outcome.err) == (0, "r.onnx\n", "")
    assert Path("r.onnx").read_bytes() == with_required_inputs(model_file.read(conditional.onnx)).data
    sha256 = conditional.manifest["sha256"]
    assert sha256 in command("info", "r.onnx").out and "made from" not in command("info", conditional.onnx).out
    assert command("sample", conditional.onnx, "-n", 2, "-o", "a.png").code == 0
    assert command("replay", "a.png", "--model", "r.onnx").out == "identical: every pixel\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--inputs", "required"), "give --web DIR, or --inputs required with -o FILE"),
        (("--inputs", "required", "--web", "site"), "give --web DIR, or --inputs required with -o FILE"),
        (("--inputs", "required", "-o", "r.onnx", "--torch", "w.pth"), "RUN --torch w.pth"),
        (
            ("--network", "net.onnx"),
            " is a model file, and net.onnx is exported from a run folder: jaxgen export RUN --network net.onnx",
        ),
        (("--inputs", "none", "-o", "r.onnx"), "'none' is not one of"),
        *(
            (
                ("--inputs", "required", "-o", "r.onnx", "--checkpoint", checkpoint),
                " is a model file, with the weights of one checkpoint",
            )
            for checkpoint in ("best", "last")
        ),
    ],
)
def test_what_cannot_be_made_of_an_exported_file_exits_2(refused, conditional, options, complaint, monkeypatch):
    monkeypatch.setattr(Package, "fetch", lambda package, say: None)
    assert complaint in refused(2, "export", conditional.onnx, *options)
    assert not listing()


@pytest.mark.parametrize("place", ["own.onnx", "./own.onnx", "link.onnx"])
def test_exported_file_is_not_written_over(refused, place):
    data = (calls.HERE / "format2/gan.onnx").read_bytes()
    Path("own.onnx").write_bytes(data)
    Path("link.onnx").symlink_to("own.onnx")
    said = refused(2, "export", "own.onnx", "--inputs", "required", "-o", place)
    assert said == f"-o: {Path(place)} is the file that it is made from"
    assert Path("own.onnx").read_bytes() == data and listing() == ["link.onnx", "own.onnx"]


@pytest.mark.parametrize(("options", "step"), [((), 6), (("--checkpoint", "3"), 3), (("--checkpoint", "last"), 6)])
def test_checkpoint_is_the_one_that_was_named(command, run, captured, options, step):
    assert command("export", run, "-o", "m.onnx", *options).code == 0
    ((config, params, path, rest),) = captured
    assert (rest["training"]["steps"], path, rest["beside"]) == (step, Path("m.onnx"), exports.OutputPaths())
    assert config.model.classes == 10
    want = load_trained(run, str(step)).params
    assert all(np.array_equal(params[name], want[name]) for name in want)


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ((), None),
        (("--quantize", "fp16"), Quantize(scheme="fp16")),
        (("--quantize", "int8", "--min-psnr", "12.5"), Quantize(scheme="int8", min_psnr=12.5)),
        (("--quantize", "fp16", "--torchscript", "m.ts"), Quantize(scheme="fp16")),
    ],
)
def test_quantisation_is_the_one_that_was_named(command, run, captured, options, want):
    assert command("export", run, "-o", "m.onnx", *options).code == 0
    assert captured[0][3]["quantize"] == want


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--min-psnr", "30"), "--min-psnr is a bound of --quantize, which is not given"),
        (("--quantize", "fp16", "--network", "n.onnx"), "--network is written in float32"),
        (
            ("--quantize", "int8", "--torch", "w.pth"),
            "--torch is written in float32; export it without --quantize int8",
        ),
        (("--quantize", "int4"), "'int4' is not one of"),
        (("--quantize", "fp16", "--min-psnr", "-1"), "--min-psnr"),
    ],
)
def test_quantisation_that_cannot_be_exits_2(refused, run, options, complaint):
    assert complaint in refused(2, "export", run, *options)
    assert not listing()


def test_neither_an_exported_file_nor_a_classifier_is_quantised(refused, conditional, classifier_run):
    line = refused(2, "export", conditional.onnx, "--quantize", "fp16", "-o", "m.onnx")
    assert line.endswith("is a model file; give the run: jaxgen export RUN --quantize fp16")
    line = refused(2, "export", classifier_run, "--quantize", "int8", "-o", "m.onnx")
    assert line.endswith("is a classifier; only models that generate images are quantised")


@pytest.mark.parametrize("checkpoint", ["7", "newest", "-1", ""])
def test_unknown_checkpoint_exits_2(refused, run, checkpoint):
    assert "checkpoint" in refused(2, "export", run, "--checkpoint", checkpoint)
    assert not listing()


def test_what_is_no_run_is_one_line(refused):
    Path("empty").mkdir()
    for place in ("none", "empty"):
        assert f"{place}: not a run folder" in refused(2, "export", place)
    assert listing() == ["empty"]


@pytest.mark.parametrize("option", ["-o", "--encoder", "--torchscript", "--safetensors", "--torch"])
@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("none/m", "there is no folder"),
        ("folder", "it is a folder"),
        ("file/m", "there is no folder"),
        ("", "is a folder"),
    ],
)
def test_place_that_cannot_be_written_exits_3_before_any_work(refused, option, place, complaint):
    Path("folder").mkdir()
    Path("file").write_text("mine")
    assert complaint in refused(3, "export", "no-such-run", option, place)
    assert listing() == ["file", "folder"]


@pytest.mark.parametrize("option", ["--encoder", "--torchscript", "--safetensors", "--torch"])
def test_one_place_for_two_files_exits_2(refused, option):
    assert f"-o and {option} name the same file" in refused(2, "export", "run", "-o", "m", option, "./m")


def test_vaes_encoder_is_a_second_file_beside_the_first(command, vae_run):
    outcome = command(
        "export", vae_run, "-o", "m.onnx", "--torchscript", "m.ts", "--safetensors", "w.safetensors", "--torch", "w.pth"
    )
    assert (outcome.code, outcome.out) == (0, "m.onnx\n")
    assert listing() == ["m.encoder.onnx", "m.onnx", "m.ts", "w.pth", "w.safetensors"]
    told = [line.removeprefix("wrote ") for line in outcome.err.splitlines() if line.startswith("wrote ")]
    assert sorted(told) == ["m.encoder.onnx", "m.ts", "w.pth", "w.safetensors"]
    rows = [line.split() for line in outcome.err.splitlines() if line.startswith("onnxruntime ")]
    assert [len(row) for row in rows] == [5, 3]  # of images, then of the encoder's numbers
    images = np.zeros((3, 8, 8, 1), np.uint8)
    assert Predictor.open("m.encoder.onnx").read(images)["mean"].shape == (3, 2)
    kept = [model_file.read(name).manifest["weights"] for name in ("m.onnx", "m.encoder.onnx")]
    assert kept[0] == kept[1]
    assert command("verify", "m.encoder.onnx").code == command("verify", "m.onnx").code == 0


@pytest.mark.parametrize(
    ("options", "place"), [((), "m.encoder.onnx"), (("--encoder", "e"), "e"), (("-o", "m"), "m.encoder.onnx")]
)
def test_encoder_goes_where_the_options_name(command, vae_run, captured, options, place):
    assert command("export", vae_run, "-o", "m.onnx", *options).code == 0
    assert captured[0][3]["beside"] == exports.OutputPaths(encoder=Path(place))


def test_classifier_has_no_pixels_to_compare(command, classifier_run):
    outcome = command("export", classifier_run, "-o", "m.onnx")
    assert (outcome.code, outcome.out) == (0, "m.onnx\n")
    assert "relative" in outcome.err and "pixels" not in outcome.err and "100.000%" not in outcome.err
    assert "one evaluation within" in command("info", "m.onnx").out


def test_place_of_the_encoder_may_not_be_another_files(refused, vae_run, captured):
    complaint = refused(2, "export", vae_run, "-o", "m.onnx", "--torch", "m.encoder.onnx")
    assert "--encoder and --torch name the same file" in complaint
    assert not captured


def test_encoder_of_a_model_without_one_exits_2(refused, run, captured):
    assert "is a ddpm and has no encoder" in refused(2, "export", run, "--encoder", "e.onnx")
    assert not captured


@pytest.mark.slow
def test_disagreeing_backend_exits_3_and_writes_nothing(command, run, monkeypatch):
    load = weight_mapping.load_into

    def load_wrongly(twin, params):
        load(twin, params)
        twin.conv_out.bias += 0.01

    monkeypatch.setattr(weight_mapping, "load_into", load_wrongly)
    outcome = command("export", run, "-o", "m.onnx", "--torchscript", "m.ts")
    assert (outcome.code, outcome.out) == (3, "")
    *progress, last = outcome.err.splitlines()
    assert last.startswith("jaxgen: pytorch differs from JAX: relative error")
    assert not [line for line in progress if line.startswith(("jaxgen:", "Traceback"))]
    assert not listing()


@pytest.mark.parametrize("missing", ["torch", "onnx", "jax"])
def test_missing_extra_exits_4_and_is_named(run, missing, tmp_path):
    code = f"import sys; sys.modules[{missing!r}] = None; from jaxgen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "export", str(run)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    want = f"jaxgen: this needs {missing}, which is not installed; {install('export')}\n"
    assert (done.returncode, done.stdout, done.stderr) == (4, "", want)
    assert not list(tmp_path.iterdir())


def test_help_shows_how(command):
    outcome = command("export", "--help")
    assert outcome.code == 0
    assert "jaxgen export runs/ddpm-digits -o model.onnx" in outcome.out
