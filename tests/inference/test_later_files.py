"""Files that a later jaxgen may write: what is new is ignored where it may be, and refused by name where not."""

import json
from pathlib import Path

import numpy as np
import pytest
from golden import calls
from later import FORMAT_2, IMAGES, MODEL, SEED, UNKNOWN, demanding, later
from onnx import helper
from servers import forged, inside

from jaxgen import config as configs
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen.inference.network import Network, sample_with
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.request import Request
from jaxgen.inference.verify import same_images, verify
from jaxgen.latent.spaces import open_space
from jaxgen_serve.models import sandbox
from jaxgen_serve.models.description import described
from jaxgen_serve.settings import Settings
from jaxgen_serve.web import static_site


@pytest.fixture(scope="module")
def of_later(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("later") / "later.onnx"
    path.write_bytes(forged(MODEL, manifest=later))
    return path


def test_it_is_not_what_a_config_of_today_says(of_later):
    manifest = model_file.read(of_later).manifest
    assert (
        manifest["surprise"]
        and manifest["inference"]["process"]["surprise"]
        and manifest["plans"]["ddim-50"]["surprise"]
    )
    with pytest.raises(UsageError, match="unknown config key"):
        configs.from_dict(manifest["config"])


def test_python_gives_the_same_images(of_later):
    model = Model.open(of_later)
    for call, images in calls.sampled(model, "cddpm", SEED).items():
        np.testing.assert_array_equal(images, IMAGES[call])
    assert model.inference == Model.open(MODEL).inference
    assert verify(model)["same"]
    assert open_space(of_later, steps=2).noises().decode(np.zeros((1, 8, 8, 1), np.float32), np.array([0])).any()


@pytest.mark.parametrize("name", calls.READERS)
def test_readers_read_the_same(name, tmp_path):
    path = tmp_path / "reader.onnx"
    path.write_bytes(forged(FORMAT_2 / f"{name}.onnx", manifest=later))
    for output, numbers in calls.read(Predictor.open(path)).items():
        np.testing.assert_allclose(numbers, calls.answers(FORMAT_2, name)[output], rtol=1e-4, atol=1e-5)


def test_server_and_site_describe_it_and_sample(of_later, tmp_path):
    sandbox.attempt("later.onnx", of_later.read_bytes(), 60)
    with inside(Settings(data=tmp_path), of_later) as client:
        (about,) = client.get("/models").json()["models"]
        assert (about["family"], about["dataset"], about["shape"]) == ("ddpm", "digits", [8, 8, 1])
        assert client.get("/model-info").json()["inference"]["guidance"] == 1.5
        made = client.post("/generate", json={"seed": SEED, "index": 6, "label": 0}).json()
        assert (made["sampler"], made["steps"], made["guidance"]) == ("dpmpp-2m", 8, 1.5)
    model = Model.open(of_later)
    want = described(Model.open(MODEL), name="m", size=1, encoder=False, max_steps=50)
    found = described(model, name="m", size=1, encoder=False, max_steps=50)
    assert found == want | {"sha256": model.artifact.sha256}
    assert static_site.plan_tables(model) == static_site.plan_tables(Model.open(MODEL))


# --- requires


def test_server_site_and_python_refuse_what_a_file_requires_by_name(tmp_path):
    path = tmp_path / "demanding.onnx"
    path.write_bytes(forged(MODEL, manifest=demanding))
    for opened in (
        lambda: Model.open(path),
        lambda: model_file.read(path),
        lambda: static_site.write_site({"model": path}, tmp_path / "site"),
        lambda: sandbox.attempt("demanding.onnx", path.read_bytes(), 60),
    ):
        with pytest.raises(JaxgenError, match="needs 'x', which jaxgen"):
            opened()
    with inside(Settings(data=tmp_path), path) as client:
        found = client.get("/models").json()
        assert found["models"] == [] and "needs 'x'" in found["refused"]["demanding.onnx"]


# --- a process that is not known here


@pytest.fixture(params=UNKNOWN)
def unknown(request, tmp_path) -> tuple[Path, str]:
    """A file whose process has a part that this jaxgen does not know, and what it says of that."""
    change, words = UNKNOWN[request.param]
    path = tmp_path / "unknown.onnx"
    path.write_bytes(forged(MODEL, manifest=change))
    return path, words


def test_unknown_process_runs_the_files_own_plan(unknown):
    path, _ = unknown
    model, known = Model.open(path), Model.open(MODEL)
    index, label = np.arange(5, 9), np.arange(5, 9) % 3
    images, _ = model.sample(np.full(4, SEED), index, label=label)
    np.testing.assert_array_equal(images, IMAGES["default"])
    np.testing.assert_array_equal(model.plan(), known.plan())  # as the graph holds it
    own = model.inference.plan
    np.testing.assert_array_equal(model.plan(**own._asdict()), known.plan())
    request = Request.checked(
        model, seed=SEED, first=5, count=4, label="all", guidance=None, sampler=None, steps=None, eta=None
    )  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(list(request.batches(model, 3))), IMAGES["default"])
    again = Request.from_provenance(model, request.provenance(model, 5, 4).record())
    assert again == request
    assert len(list(model.frames(1, 3, label=0, plan=model.plan()))) == 3
    assert verify(model)["same"]


@pytest.mark.parametrize("part", UNKNOWN)
def test_network_of_an_unknown_process_samples_by_the_files_own_plan(part, tmp_path):
    change, words = UNKNOWN[part]
    path = tmp_path / "network.onnx"
    path.write_bytes(forged(FORMAT_2 / "cddpm.network.onnx", manifest=change))
    network, index = Network.open(path), np.arange(5, 9)
    chosen = {"seed": np.full(4, SEED), "index": index, "label": index % 3}
    assert same_images(sample_with(network, network.inference, **chosen), IMAGES["default"])
    with pytest.raises(UsageError, match=words):  # a function has no file
        sample_with(lambda *inputs: network(*inputs), network.inference, **chosen)


def test_another_plan_of_an_unknown_process_is_refused_in_one_line(unknown):
    path, words = unknown
    model = Model.open(path)
    for wanted in ({"steps": 5}, {"sampler": "ddim", "steps": 8} if "heun" not in words else {"steps": 3}):
        with pytest.raises(UsageError) as refused:
            model.plan(**wanted)
        assert words in str(refused.value) and "\n" not in str(refused.value)


def test_server_offers_the_own_plan_of_an_unknown_process(unknown, tmp_path):
    path, words = unknown
    if "heun" in words:
        words = "unknown sampler 'heun'"
    with inside(Settings(data=tmp_path), path) as client:
        (about,) = client.get("/models").json()["models"]
        own = about["plan"]
        assert own["sampler"] in own["samplers"] and own["steps"] <= own["max_steps"]
        body = {"seed": SEED, "index": 6, "label": 0}
        made = client.post("/generate", json=body).json()
        same = client.post("/generate", json=body | {key: own[key] for key in ("sampler", "steps", "eta")}).json()
        assert made["image"] == same["image"]
        refused = client.post("/generate", json=body | {"steps": 5})
        assert refused.status_code == 400 and words in refused.json()["detail"]
    tables = static_site.plan_tables(Model.open(path))
    assert f"{own['sampler']}-{own['steps']}" in tables


def without_default(proto):
    """As in a file whose inputs are all required."""
    (plan,) = (tensor for tensor in proto.graph.initializer if tensor.name == "plan")
    proto.graph.initializer.remove(plan)


def test_plan_that_no_graph_holds_is_that_of_its_name(tmp_path):
    path = tmp_path / "named.onnx"

    def named(manifest):
        manifest["inference"]["process"]["schedule"] = "karras"
        manifest["inference"]["plan"] = {"sampler": "dpmpp-2m", "steps": 10, "eta": 0.0}

    path.write_bytes(forged(MODEL, manifest=named, proto=without_default))
    known = Model.open(MODEL)
    np.testing.assert_array_equal(Model.open(path).plan(), known.plan(sampler="dpmpp-2m", steps=10))


def test_plan_of_an_unknown_process_that_is_nowhere_is_refused(tmp_path):
    path = tmp_path / "bare.onnx"
    path.write_bytes(forged(MODEL, manifest=UNKNOWN["schedule"][0], proto=without_default))
    for plans in (None, [], {"a": 1}, {"dpmpp-2m-8": {"sampler": "dpmpp-2m", "steps": 8, "eta": 0.0, "table": "?"}}):
        odd = tmp_path / "odd.onnx"
        odd.write_bytes(forged(path, manifest=lambda entries, plans=plans: entries.update(plans=plans)))
        with pytest.raises(UsageError, match="noise schedule 'karras'"):
            Model.open(odd).plan()


def test_plan_of_the_graph_may_be_written_in_either_way(tmp_path):
    want = Model.open(MODEL).plan()

    def as_numbers(proto):
        (plan,) = (tensor for tensor in proto.graph.initializer if tensor.name == "plan")
        plan.CopyFrom(helper.make_tensor("plan", plan.data_type, plan.dims, want.ravel().tolist()))
        assert plan.float_data and not plan.raw_data

    path = tmp_path / "numbers.onnx"
    path.write_bytes(forged(MODEL, manifest=UNKNOWN["schedule"][0], proto=as_numbers))
    np.testing.assert_array_equal(Model.open(path).plan(), want)


def test_later_manifest_is_whole_json(of_later):
    text = json.dumps(model_file.read(of_later).manifest)
    assert text.count('"surprise"') > 20
