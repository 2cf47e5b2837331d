"""Choosing a runtime: names, providers, and the certificate that others than the usual one are held to."""

import json
import threading

import numpy as np
import onnxruntime
import pytest
from golden import calls

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file, runtime as runtimes
from jaxgen.inference.model import Model
from jaxgen.inference.network import Network
from jaxgen.inference.opening import opened
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.session import Stop, Threaded
from jaxgen.inference.tensors import decode_images, encode_images

CPU = "CPUExecutionProvider"
NEW = calls.FOLDERS[-1]
VAE, CLASSIFIER, NETWORK = (NEW / f"{name}.onnx" for name in ("vae", "classifier", "gan.network"))


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        (
            {"runtime": "openvina"},
            r"unknown runtime 'openvina' \(did you mean 'openvino'\?\); choose from onnxruntime,",
        ),
        ({"provider": "cude"}, r"unknown provider 'cude' \(did you mean 'cuda'\?\)"),
        ({"runtime": "reference", "provider": "cuda"}, "reference has no providers, only onnxruntime has"),
    ],
)
def test_unknown_choice_is_refused_with_those_that_there_are(how, complaint):
    with pytest.raises(UsageError, match=complaint):
        Model.open(VAE, **how)


def test_provider_that_is_not_installed_is_refused_with_those_that_are(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CoreMLExecutionProvider", CPU])
    with pytest.raises(UsageError, match="onnxruntime has no provider 'cuda' here, only cpu, coreml") as refused:
        Model.open(VAE, provider="cuda")
    assert "\n" not in str(refused.value)


def test_provider_that_does_not_start_is_refused(monkeypatch):
    """This onnxruntime has none but the CPU's, which is what it falls back to where a device is missing."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(JaxgenError, match="onnxruntime has the provider 'cuda', but it does not start"),
    ):
        Model.open(VAE, provider="cuda")


def test_provider_cpu_is_what_there_is_without_a_choice():
    found, want = Model.open(VAE, provider="cpu").sample([1], [2]), Model.open(VAE).sample([1], [2])
    np.testing.assert_array_equal(found[0], want[0])


def inverted(data, path, **how):
    """A runtime that gives other images, without an error."""
    session = runtimes.RUNTIMES["onnxruntime"](data, path, **how)

    def work(outputs, feeds, stop):
        return [255 - value if value.dtype == np.uint8 else -value for value in session.run(outputs, feeds)]

    return Threaded(path, "inverted", session.inputs, session.outputs, work)


IMAGES = r"\d\.\d{3}% of pixels identical in 8 images, the largest difference is"
DIFFERS = {
    "ddpm": (Model, rf"{IMAGES} 2\d\d"),
    "vae": (Model, rf"{IMAGES} \d+"),
    "classifier": (Predictor, r"logits(, features)? of 8 images within 2\.0e\+00 relative"),
    "flow.required": (Model, rf"{IMAGES} 2\d\d"),
    "gan.network": (Network, r"\d evaluations within 2\.0e\+00 relative"),
}


@pytest.mark.parametrize(
    "path",
    [folder / f"{name}.onnx" for folder in calls.FOLDERS for name in DIFFERS if name in calls.stems(folder)],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_runtime_that_gives_something_else_is_refused_by_name_with_what_differs(path, monkeypatch):
    kind, differs = DIFFERS[path.stem]
    monkeypatch.setitem(runtimes.RUNTIMES, "inverted", inverted)
    with pytest.raises(JaxgenError, match=f"refused in inverted, which gives different results: {differs}") as refused:
        kind.open(path, runtime="inverted")
    assert str(refused.value).startswith(str(path)) and "\n" not in str(refused.value)


def changed_probe(entries):
    probe = entries["certificate"]["probe"]
    probe["images"] = encode_images(255 - decode_images(probe["images"]))


def test_usual_runtime_opens_a_file_whatever_its_certificate_says(family, restamped):
    path = restamped(family("vae").onnx, manifest=changed_probe)
    Model.open(path)
    with pytest.raises(JaxgenError, match="refused in reference"):
        Model.open(path, runtime="reference")


def test_file_without_a_certificate_opens_in_the_usual_runtime_alone(family, restamped):
    path = restamped(family("vae").onnx, manifest=lambda entries: entries.pop("certificate"))
    Model.open(path)
    with pytest.raises(JaxgenError, match="has no certificate to check reference with; open it with onnx"):
        Model.open(path, runtime="reference")


def test_file_opens_as_what_it_is():
    assert type(opened(model_file.read(VAE))) is Model
    assert type(opened(model_file.read(CLASSIFIER), runtime="reference")) is Predictor
    assert type(opened(model_file.read(NETWORK), runtime="reference")) is Network


def test_command_samples_in_another_runtime(jaxgen, tmp_path):
    for runtime in ("onnxruntime", "reference"):
        done = jaxgen("sample", VAE, "-n", "3", "--seed", "4", "--runtime", runtime, "-o", tmp_path / f"{runtime}.npy")
        assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(*(np.load(tmp_path / f"{name}.npy") for name in ("onnxruntime", "reference")))


def test_command_verifies_another_runtime_and_reports_how_far_it_is(jaxgen, family, restamped):
    done = jaxgen("verify", CLASSIFIER, "--runtime", "openvino", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["relative"] < 1e-5
    done = jaxgen("verify", restamped(family("vae").onnx, manifest=changed_probe), "--runtime", "reference")
    assert done.returncode == 3 and "does not reproduce its certificate on this machine" in done.stderr


def test_command_measures_another_runtime_beside_the_usual_one(jaxgen):
    words = ["--batch-sizes", "2", "--repeats", "1", "--only-onnxruntime", "--json", "--runtime", "reference"]
    done = jaxgen("bench", VAE, *words)
    assert done.returncode == 0, done.stderr
    assert [row["runtime"] for row in json.loads(done.stdout)["rows"]] == ["onnxruntime", "reference"]


def test_command_refuses_an_unknown_runtime_in_a_line(jaxgen):
    done = jaxgen("sample", VAE, "--runtime", "trakt")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "unknown runtime 'trakt' (did you mean 'tract'?)" in done.stderr


def test_deadline_of_a_run_that_waits_for_another_one_takes_it_back():
    """Where a library cannot be stopped, the run that is late goes on; one behind it that is late never begins."""
    gate, begun = threading.Event(), []

    def work(outputs, feeds, stop):
        begun.append(feeds["name"])
        gate.wait(20)
        return []

    session = Threaded("it", "slow", {"name": []}, {}, work)
    for name in ("first", "second"):
        with pytest.raises(JaxgenError, match=r"it: stopped after 0\.1 seconds"):
            session.run([], {"name": name}, deadline=0.1)
    gate.set()
    session.run([], {"name": "third"}, deadline=20)
    assert begun == ["first", "third"]


@pytest.mark.parametrize("early", [True, False])
def test_stop_calls_what_ends_the_run_whichever_comes_first(early):
    stop, ended = Stop(), []
    if early:
        stop()
    stop.ends(lambda: ended.append(True))
    assert stop.requested is early
    if not early:
        assert ended == []
        stop()
    assert stop.requested and ended == [True]
