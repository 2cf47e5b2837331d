"""Files whose default plan was searched: the same graph with another plan, and a certificate that is true of it."""

import base64
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from golden import calls
from onnx_files import restamp
from schemas import VALIDATOR
from servers import forged

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import parse
from jaxgen.inference.request import Request
from jaxgen.inference.required_inputs import with_required_inputs
from jaxgen.inference.tuned_file import with_plan
from jaxgen.inference.tuning import tune
from jaxgen.inference.verify import verify
from jaxgen.sampling.sampler_spec import SamplerSpec, parts

FORMAT_2 = calls.HERE / "format2"
NAMES = ["cddpm", "ddpm", "flow", "flow.required"]
SEED, INDEX = np.full(4, 9), np.arange(4)


@pytest.fixture(scope="module", params=NAMES)
def pair(request):
    """A golden model, what a search found for it, and the tuned file."""
    model = Model.open(FORMAT_2 / f"{request.param}.onnx")
    found = tune(model, 4, count=6, budget=16)
    return model, found, Model(parse(with_plan(model, found), "tuned.onnx"))


def images(model, **inputs):
    label = INDEX % len(model.classes) if model.classes else None
    return model.sample(SEED, INDEX, label=label, **inputs)[0]


def test_graph_is_the_same_but_for_its_plan(pair):
    model, found, tuned = pair
    before, after = (onnx.load_from_string(one.artifact.data) for one in (model, tuned))
    onnx.checker.check_model(after, full_check=True)
    held = [tensor for tensor in after.graph.initializer if tensor.name == "plan"]
    for tensor in held:
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), found.table)
    assert bool(held) == (model.artifact.path.stem != "flow.required")
    for proto in (before, after):
        kept = [tensor for tensor in proto.graph.initializer if tensor.name != "plan"]
        del proto.graph.initializer[:], proto.metadata_props[:]
        proto.graph.initializer.extend(kept)
    assert before == after
    assert restamp(tuned.artifact.data) == tuned.artifact.data  # the hash is that of these bytes


def test_default_images_are_the_found_plans_and_others_stay(pair):
    model, found, tuned = pair
    np.testing.assert_array_equal(images(tuned), images(model, plan=found.table))
    assert not np.array_equal(images(tuned), images(model))
    seven = {"sampler": parts(found.recipe.sampler)[0], "steps": 7}
    np.testing.assert_array_equal(images(tuned, plan=tuned.plan(**seven)), images(model, plan=model.plan(**seven)))
    assert tuned.recipe() == found.recipe == tuned.inference.plan and len(tuned.plan()) == 4
    assert tuned.recipe(steps=7) == SamplerSpec(parts(found.recipe.sampler)[0], 7)


def test_certificate_is_reproduced_and_says_what_still_holds(pair):
    model, _, tuned = pair
    assert verify(tuned)["same"]
    old, new = (one.artifact.manifest["certificate"] for one in (model, tuned))
    assert new["probe"]["images"] != old["probe"]["images"] and new["probe"]["reference"] == "onnxruntime"
    assert new["evaluation"] == old["evaluation"]  # the network is the same
    assert new["trajectories"] and all(row["plan"] in tuned.artifact.manifest["plans"] for row in new["trajectories"])


def test_manifest_records_the_search_and_obeys_the_schema(pair):
    model, found, tuned = pair
    manifest = tuned.artifact.manifest
    VALIDATOR.validate(json.loads(json.dumps(manifest)))
    assert manifest["searched"]["from"] == model.artifact.sha256
    assert manifest["plans"]["default"]["sampler"] == manifest["inference"]["plan"]["sampler"] == found.recipe.sampler
    table = np.frombuffer(base64.b64decode(manifest["plans"]["default"]["table"]), "<f4").reshape(-1, 9)
    np.testing.assert_array_equal(table, found.table)
    kept = model.artifact.manifest.keys() - {"sha256", "jaxgen", "inference", "plans", "certificate", "made_from"}
    assert all(manifest[key] == model.artifact.manifest[key] for key in kept)
    assert "made_from" not in manifest


def test_error_of_the_record_is_that_of_the_images_and_no_larger_than_before(pair):
    model, found, _ = pair
    reference = model.table(SamplerSpec(**found.record["reference"]))
    index = np.arange(6)
    label = index % len(model.classes) if model.classes else None

    def end(plan):
        return model.sample(np.full(6, 1), index, label=label, plan=plan)[1][0].astype(np.float64)

    def distance(plan):
        return np.sqrt(((end(plan) - end(reference)) ** 2).mean())

    before = found.record["before"]
    assert distance(found.table) == pytest.approx(found.record["after"]["error"], rel=1e-4)
    assert distance(model.plan(sampler=before["sampler"], steps=4, eta=0.0)) == pytest.approx(before["error"], rel=1e-4)
    assert found.record["after"]["error"] <= before["error"]


def test_provenance_of_a_searched_plan_is_replayed_from_its_file(tmp_path):
    model = Model.open(FORMAT_2 / "cddpm.onnx")
    found = tune(model, 4, count=6, budget=30)
    assert (
        found.recipe.sampler.endswith("@searched") and found.record["after"]["error"] < found.record["before"]["error"]
    )
    tuned = Model(parse(with_plan(model, found), "tuned.onnx"))
    request = Request.checked(
        tuned, seed=9, first=0, count=4, label="all", guidance=None, sampler=None, steps=None, eta=None
    )  # fmt: skip
    record = request.provenance(tuned, 0, 4).record()
    assert record["plan"] == {"sampler": found.recipe.sampler, "steps": 4, "eta": 0.0}
    again = Request.from_provenance(tuned, json.loads(json.dumps(record)))
    np.testing.assert_array_equal(next(again.batches(tuned, 4)), images(tuned))
    with pytest.raises(UsageError, match="searched plan"):
        tuned.plan(sampler=found.recipe.sampler, steps=5)
    with pytest.raises(JaxgenError, match="searched plan"):  # in another file, and never by other times
        Request.from_provenance(model, record)
    required = Model(with_required_inputs(tuned.artifact))
    np.testing.assert_array_equal(images(required), images(tuned))


def test_file_without_a_certificate_gets_none_and_a_broken_one_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(forged(FORMAT_2 / "ddpm.onnx", manifest=lambda entries: entries.pop("certificate")))
    bare = Model.open(path)
    found = tune(bare, 3, count=2, budget=10)
    assert "certificate" not in parse(with_plan(bare, found), "t").manifest

    def wrong(entries):
        probe = entries["certificate"]["probe"]
        probe["images"] = probe["images"][::-1]

    path.write_bytes(forged(FORMAT_2 / "ddpm.onnx", manifest=wrong))
    with pytest.raises(JaxgenError, match="does not reproduce its certificate here"):
        with_plan(Model.open(path), found)


def test_composed_file_is_certified_by_onnxruntime_alone(tmp_path):
    def composed(entries):
        certificate = entries["certificate"]
        certificate["reference"] = "onnxruntime"
        certificate["trajectories"] = [{**certificate["trajectories"][0], "plan": None}]

    path = tmp_path / "model.onnx"
    path.write_bytes(forged(FORMAT_2 / "ddpm.onnx", manifest=composed))
    model = Model.open(path)
    tuned = Model(parse(with_plan(model, tune(model, 3, count=2, budget=10)), "t"))
    (row,) = tuned.artifact.manifest["certificate"]["trajectories"]
    assert tuned.artifact.manifest["certificate"]["reference"] == "onnxruntime" and row["identical"] >= 0.995
    assert verify(tuned)["same"]


@pytest.mark.parametrize("steps", [0, 1, 101])
def test_steps_that_cannot_be_searched_are_refused(steps):
    with pytest.raises(UsageError, match=f"must be from 2 to .*, got {steps}"):
        tune(Model.open(FORMAT_2 / "ddpm.onnx"), steps)


def test_model_of_one_evaluation_has_no_plan_to_search():
    with pytest.raises(UsageError, match="samples in one evaluation"):
        tune(Model.open(FORMAT_2 / "vae.onnx"), 4)


def test_tables_of_golden_files_are_still_those_that_they_hold():
    for name in ("ddpm", "cddpm", "flow"):
        manifest = model_file.read(Path(FORMAT_2 / f"{name}.onnx")).manifest
        model = Model.open(FORMAT_2 / f"{name}.onnx")
        for held in manifest["plans"].values():
            want = np.frombuffer(base64.b64decode(held["table"]), "<f4").reshape(-1, 9)
            np.testing.assert_array_equal(model.table(SamplerSpec(held["sampler"], held["steps"], held["eta"])), want)
