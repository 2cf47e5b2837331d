"""Manifests of format 1, whose config held what running a file needs: read leniently, and only where it matters."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from golden import calls
from onnx_files import restamp
from tiny import CONDITIONAL, FAMILIES, UNCONDITIONAL

from jaxgen import config as configs
from jaxgen.config.presets import PRESETS
from jaxgen.config.renames import RENAMES, Rename
from jaxgen.errors import JaxgenError
from jaxgen.inference import model_file
from jaxgen.inference.format1 import upgraded
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model import Model
from jaxgen_export.manifest import inference_of

FORMAT_1 = calls.HERE / "format1"


@pytest.fixture
def changed(tmp_path):
    """changed(name, change): a golden file whose manifest was changed and stamped again, as format 1."""

    def make(name: str, change) -> Path:
        proto = onnx.load_from_string((FORMAT_1 / f"{name}.onnx").read_bytes())
        (entry,) = (entry for entry in proto.metadata_props if entry.key == "jaxgen")
        manifest = json.loads(entry.value)
        change(manifest)
        entry.value = json.dumps(manifest)
        path = tmp_path / "changed.onnx"
        path.write_bytes(restamp(proto.SerializeToString()))
        return path

    return make


TINY = {"tiny": UNCONDITIONAL, "tiny-classes": CONDITIONAL, **FAMILIES}


@pytest.mark.parametrize("name", [*PRESETS, *TINY])
def test_upgraded_manifest_is_the_one_that_is_written_today(name):
    config = PRESETS[name] if name in PRESETS else TINY[name]
    names = [f"class {number}" for number in range(config.class_count)]
    with_encoder = config.likelihood and not config.encoder_label  # format 1 had no encoders that take a class
    kinds = ["classifier"] if not config.is_generator else ["sampler", "encoder"] if with_encoder else ["sampler"]
    for kind in kinds:
        manifest = {"format": 1, "config": configs.to_dict(config), "classes": names, "kind": kind, "training": {}}
        found = upgraded(manifest, "m", pytest.fail)
        assert Inference.parse(found["inference"], "m") == inference_of(config, kind, names)
        assert (found["format"], found["training"], found["config"]) == (1, {}, manifest["config"])


def test_files_before_there_were_kinds_are_samplers():
    manifest = {"format": 1, "config": configs.to_dict(UNCONDITIONAL), "classes": []}
    assert upgraded(manifest, "m", pytest.fail)["inference"]["kind"] == "sampler"


def test_keys_that_a_config_leaves_out_have_the_defaults_of_then():
    for family in ("ddpm", "flow", "vae", "gan"):
        found = upgraded({"config": {"family": family}, "classes": []}, "m", pytest.fail)["inference"]
        assert Inference.parse(found, "m") == inference_of(configs.FAMILIES[family](), "sampler", [])


def surprising(manifest: dict) -> None:
    """What a jaxgen that nobody has seen might have written where nothing depends on it."""
    config = manifest["config"]
    config["training"] = {"scan_stepz": [1], "lr": "fast"}
    config["surprise"] = {"a": 1}
    config["data"]["dataset"] = 7
    for section in ("model", "diffusion"):
        config[section]["surprise"] = None
    manifest |= {"surprise": 1, "plans": 3, "training": [], "weights": None, "certificate": "none"}


def test_only_what_matters_is_looked_at(changed):
    path = changed("cddpm", surprising)
    model = Model.open(path)
    assert model.inference == Model.open(FORMAT_1 / "cddpm.onnx").inference
    seed = calls.seeds(FORMAT_1)["cddpm"]
    for call, images in calls.answers(FORMAT_1, "cddpm").items():
        np.testing.assert_array_equal(calls.sampled(model, "cddpm", seed)[call], images)


def test_renamed_keys_are_read_and_reported_if_they_matter(changed, monkeypatch, capsys):
    for old, new in [("diffusion.T", "diffusion.steps"), ("training.learning_rate", "training.lr"), ("dat", "data")]:
        monkeypatch.setitem(RENAMES, old, Rename(new, "0.2"))

    def of_then(manifest):
        config = manifest["config"]
        config["diffusion"]["T"] = config["diffusion"].pop("steps")
        config["training"]["learning_rate"] = config["training"].pop("lr")
        config["dat"] = config.pop("data")

    path = changed("ddpm", of_then)
    found = model_file.read(path)
    assert found.inference == Model.open(FORMAT_1 / "ddpm.onnx").inference
    assert found.fact("data.dataset", str) == "digits"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [f"{path}: read diffusion.T as diffusion.steps", f"{path}: read dat as data"]


WRONG = {
    "a size in words": ("config.data.size", "large", "its config: 'data.size' must be an integer, got 'large'"),
    "a share as text": ("config.diffusion.eta", "0", "its config: 'diffusion.eta' must be a number, got '0'"),
    "a size beyond all": ("config.data.size", 2**30, "'inference.image_shape' must be 3 integers from 1 to 4096"),
    "two channels": ("config.data.channels", 2, "'inference.image_shape' must be [height, width, 1 or 3]"),
    "no steps": ("config.diffusion.steps", 0, "'inference.process.steps' must be an integer from 1 to 100000, got 0"),
    "much guidance": ("config.diffusion.guidance", 1e9, "'inference.guidance' must be a number from 0 to 100"),
    "a class more": ("classes", ["a", "b", "c", "d"], "expected the names of 3 classes in its manifest, got 4"),
    "no list of classes": ("classes", "abc", "its manifest has no list of 'classes'"),
    "an unknown family": ("config.family", "ncsn", "unknown family 'ncsn'; files of format 1 have ddpm, flow, vae"),
    "an unknown kind": ("kind", "drawer", "'inference.kind' must be one of sampler, network, encoder, classifier"),
    "no config": ("config", [], "'config' must be an object, got a list"),
}


@pytest.mark.parametrize(("key", "value", "message"), WRONG.values(), ids=WRONG)
def test_what_matters_and_is_wrong_is_one_line(changed, key, value, message):
    *sections, leaf = key.split(".")

    def wrong(manifest):
        place = manifest
        for name in sections:
            place = place[name]
        place[leaf] = value

    path = changed("cddpm", wrong)
    with pytest.raises(JaxgenError) as refused:
        model_file.read(path)
    assert str(refused.value).startswith(f"{path}: ") and message in str(refused.value)
    assert "\n" not in str(refused.value) and refused.value.exit_code == 3
