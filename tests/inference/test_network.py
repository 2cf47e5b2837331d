"""Images by a network with the plan and the noise outside it: those of the whole file."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from golden import calls

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen.inference.network import Network, sample_with
from jaxgen.inference.opening import opened
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.tensors import decode, encode
from jaxgen.inference.verify import verify
from jaxgen.sampling import plan as plans

SEED, INDEX = np.array([3, 3, 2**32 - 1, 0]), np.array([0, 7, 1, 2**31])
GOLDEN = calls.HERE / "format2"
SCRIPT = Path(__file__).parents[2] / "docs/clients/network.py"


@pytest.fixture(params=["unconditional", "conditional", "flow", "vae", "vae-convolutional", "gan"])
def model(request, family):
    direct = request.param.endswith("conditional")
    return request.getfixturevalue(request.param) if direct else family(request.param)


@pytest.fixture
def both(model):
    """The whole file and its network."""
    return Model.open(model.onnx), Network.open(model.network)


def same(found, want):
    assert (found.dtype, found.shape) == (np.uint8, want.shape)
    difference = np.abs(found.astype(int) - want)
    assert difference.max() <= 1 and (difference == 0).mean() >= 0.995
    assert len(np.unique(want)) > 50


# --- the same images


def test_images_are_those_of_the_whole_file(both):
    whole, network = both
    label = np.array([2, 0, 1, 2]) if whole.classes else None
    same(sample_with(network, network.inference, SEED, INDEX, label=label), whole.sample(SEED, INDEX, label=label)[0])


def test_label_left_out_is_that_of_the_whole_file(both):
    whole, network = both
    same(sample_with(network, whole.inference, SEED, INDEX), whole.sample(SEED, INDEX)[0])


@pytest.mark.parametrize("choice", [{"sampler": "dpmpp-2m", "steps": 6}, {"sampler": "ancestral", "steps": 9}])
@pytest.mark.parametrize("guidance", [0, 1, 3.0])
def test_plan_and_guidance_are_those_of_the_whole_file(conditional, choice, guidance):
    whole, network = Model.open(conditional.onnx), Network.open(conditional.network)
    how = {"label": np.array([2, -1, 0, 1]), "guidance": guidance, "plan": whole.plan(**choice)}
    same(sample_with(network, network.inference, SEED, INDEX, **how), whole.sample(SEED, INDEX, **how)[0])


def test_any_function_is_a_network(conditional):
    """One that predicts nothing, v = 0: then x0 = sqrt(alpha_bar) x, worked out by hand for one step of DDIM."""
    asked = []

    def nothing(x, t, label):
        asked.append((x.dtype, t.dtype, label.dtype, t.tolist(), label.tolist()))
        return np.zeros_like(x)

    inference = model_file.read(conditional.onnx).inference
    found = sample_with(
        nothing, inference, SEED[:2], INDEX[:2], guidance=2, plan=Model.open(conditional.onnx).plan(steps=1)
    )
    floats, last = np.dtype(np.float32), conditional.config.diffusion.steps - 1
    labels = [[-1, -1], [-1, -1]]
    assert asked == [(floats, floats, np.dtype(np.int64), [last, last], label) for label in labels]
    assert (found == 127).mean() + (found == 128).mean() > 0.9  # almost grey: alpha_bar is almost 0 at the last time


def test_script_of_the_docs_gives_the_images_of_the_whole_file(model, tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, model.network, tmp_path / "images.npy"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    whole = Model.open(model.onnx)
    how = {"label": np.arange(4) % len(model.classes)} if model.classes else {}
    if model.config.process:
        how |= {"guidance": 1.0} if model.classes else {}
    same(np.load(tmp_path / "images.npy"), whole.sample(np.full(4, 7), np.arange(4), **how)[0])


def test_script_of_the_docs_draws_the_batch_of_a_file_that_takes_no_other(tmp_path):
    command = [sys.executable, SCRIPT, GOLDEN / "gan.network.onnx", tmp_path / "images.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    index = np.arange(3)
    same(np.load(tmp_path / "images.npy"), Model.open(GOLDEN / "gan.onnx").sample(np.full(3, 7), index, label=index)[0])


# --- what is refused


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ({"label": np.array([0, 1, 2, 3])}, "label must be from -1 to 2"),
        ({"label": np.array([0, 1])}, "label must have the shape"),
        ({"label": np.array([0.0, 1, 2, 0])}, "label must be integers"),
        ({"guidance": np.nan}, "guidance must be"),
        ({"guidance": -1}, "guidance must be"),
        ({"plan": np.zeros((0, 9))}, "a plan has 1 to"),
    ],
)
def test_wrong_request_of_a_conditional_model_is_one_line(conditional, how, complaint):
    with pytest.raises(UsageError, match=complaint):
        sample_with(pytest.fail, model_file.read(conditional.network).inference, SEED, INDEX, **how)


@pytest.mark.parametrize(
    ("seed", "index"), [([1, 2], [0]), ([-1], [0]), ([2**32], [0]), ([0.5], [0]), ([], []), ([[1]], [[1]])]
)
def test_wrong_seed_or_index_is_one_line(unconditional, seed, index):
    with pytest.raises(UsageError, match=r"seed|index"):
        sample_with(pytest.fail, model_file.read(unconditional.network).inference, np.array(seed), np.array(index))


def test_what_a_model_does_not_take_is_one_line(unconditional, family):
    plain, gan = (model_file.read(model.network).inference for model in (unconditional, family("gan")))
    with pytest.raises(UsageError, match="unconditional"):
        sample_with(pytest.fail, plain, SEED, INDEX, label=np.zeros(4, int))
    with pytest.raises(UsageError, match="guidance is for conditional models with a plan"):
        sample_with(pytest.fail, plain, SEED, INDEX, guidance=2)
    with pytest.raises(UsageError, match="guidance is for conditional models with a plan"):
        sample_with(pytest.fail, gan, SEED, INDEX, guidance=2)
    with pytest.raises(UsageError, match="it has no plan"):
        sample_with(pytest.fail, gan, SEED, INDEX, plan=plans.euler(3, 1.0))
    with pytest.raises(UsageError, match="label must be from 0 to 2"):
        sample_with(pytest.fail, gan, SEED, INDEX, label=np.full(4, -1))


def test_nan_is_no_image(family):
    with pytest.raises(JaxgenError, match="NaN"):
        inference = model_file.read(family("gan").onnx).inference
        sample_with(lambda z, label: np.full((len(z), 8, 8, 1), np.nan, np.float32), inference, SEED, INDEX)


def test_file_of_another_kind_is_no_network_and_a_network_samples_and_reads_nothing(unconditional, family):
    with pytest.raises(
        JaxgenError, match=r"is no network but a sampler; 'jaxgen export RUN --network net\.onnx' writes"
    ):
        Network.open(unconditional.onnx)
    with pytest.raises(JaxgenError, match="is no network but an encoder"):
        Network.open(family("vae").encoder)
    with pytest.raises(JaxgenError, match="cannot sample by itself: it is only the network of a model; 'jaxgen comp"):
        Model.open(unconditional.network)
    with pytest.raises(JaxgenError, match="reads no images: it is a network"):
        Predictor.open(unconditional.network)


def test_manifest_of_another_network_is_refused(unconditional, conditional, restamped):
    other = model_file.read(conditional.network).manifest["inference"]
    with pytest.raises(JaxgenError, match="expected the inputs"):
        Network.open(restamped(unconditional.network, manifest=lambda entries: entries.update(inference=other)))

    def larger(entries):
        entries["inference"] |= {"image_shape": [16, 16, 1], "noise_shape": [16, 16, 1]}

    with pytest.raises(JaxgenError, match="expected the"):
        Network.open(restamped(unconditional.network, manifest=larger))


# --- the certificate


def damaged(network, restamped, change):
    def probe(entries):
        change(entries["certificate"]["probe"])

    return model_file.read(restamped(network, manifest=probe))


def test_other_numbers_are_not_verified(unconditional, restamped):
    held = model_file.read(unconditional.network).manifest["certificate"]["probe"]["outputs"]["out"]
    numbers = decode(held, "out")
    for share, verified in ((1e-5, True), (1e-3, False)):
        wrong = encode(numbers + np.float32(share) * np.abs(numbers).max())
        file = damaged(unconditional.network, restamped, lambda probe, wrong=wrong: probe["outputs"].update(out=wrong))
        result = verify(opened(file))
        assert result["same"] is verified and result["images"] == 4
        assert result["relative"] == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda probe: probe.pop("inputs"), "has no 'certificate.probe.inputs.x'"),
        (lambda probe: probe["inputs"].pop("t"), "has no 'certificate.probe.inputs.t'"),
        (lambda probe: probe["inputs"].update(t=3), "must be an object, got an integer"),
        (lambda probe: probe["inputs"].update(t=encode(np.zeros(3, np.float32))), "onnxruntime failed"),
        (lambda probe: probe["inputs"].update(t=encode(np.zeros(4, np.int64))), "onnxruntime failed"),
        (lambda probe: probe["outputs"].update(out=encode(np.zeros(3, np.float32))), "its out is \\[3\\], expected"),
        (lambda probe: probe["outputs"]["out"].update(data="AA"), "its certificate's outputs.out"),
    ],
)
def test_broken_probe_is_one_line(unconditional, restamped, change, complaint):
    with pytest.raises(JaxgenError, match=complaint) as caught:
        verify(opened(damaged(unconditional.network, restamped, change)))
    assert "\n" not in str(caught.value)


def test_batch_of_one_size_alone_is_a_whole_number():
    good = {
        "kind": "network", "image_shape": [8, 8, 1], "classes": [], "null_class": True, "noise_shape": [3],
        "process": None,
    }  # fmt: skip
    parse = model_file.Inference.parse
    assert parse(good, "m").batch is None
    assert parse({**good, "batch": 3}, "m") == replace(parse(good, "m"), batch=3)
    assert parse({**good, "kind": "sampler", "batch": "x"}, "m").batch is None
    for wrong in (0, True, 1.5, "3", None, 10**6):
        with pytest.raises(JaxgenError, match=r"'inference.batch' must be an integer from 1 to 100000"):
            parse({**good, "batch": wrong}, "m")
