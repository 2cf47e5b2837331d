import base64
import hashlib
import json

import numpy as np
import onnx
import pytest

from jaxgen.config import from_dict, to_dict
from jaxgen.errors import JaxgenError
from jaxgen.inference import model_file
from jaxgen.models.network import weights_hash
from jaxgen.sampling import plan as plans
from jaxgen_export.export import export_model


def test_manifest_is_that_in_the_file(model):
    (entry,) = onnx.load_from_string(model.onnx.read_bytes()).metadata_props
    assert json.loads(entry.value) == model.manifest
    text = model.onnx.read_bytes().replace(model.manifest["sha256"].encode(), b"0" * 64)
    assert hashlib.sha256(text).hexdigest() == model.manifest["sha256"]


def test_manifest_holds_what_the_design_lists(model):
    manifest = model.manifest
    assert from_dict(manifest["config"]) == model.config
    assert manifest["config"] == to_dict(model.config)
    diffusion, guided = model.config.diffusion, {"guidance": 1.5} if model.classes else {}
    shape = [8, 8, model.config.data.channels]
    assert manifest["inference"] == {
        "kind": "sampler", "image_shape": shape, "classes": list(model.classes), "null_class": True,
        "noise_shape": shape,
        "process": {
            "kind": "diffusion", "steps": diffusion.steps, "schedule": diffusion.schedule, "beta_start": 1e-4,
            "beta_end": 0.02, "prediction": diffusion.prediction, "clip": 1.0,
        },
        "plan": {"sampler": "ddim", "steps": diffusion.sampler_steps, "eta": diffusion.eta}, **guided,
    }  # fmt: skip
    assert manifest["weights"] == {
        "sha256": weights_hash(model.params),
        "parameters": sum(value.size for value in model.params.values()),
    }
    assert manifest["training"] == {"dataset": "digits", "steps": 1234, "test_loss": None}
    assert manifest["jaxgen"] and manifest["format"] == 2 and manifest["requires"] == []
    assert not {"kind", "classes"} & set(manifest)


def test_named_plans_are_tables_that_any_client_can_read(model):
    held, diffusion = model.manifest["plans"], model.config.diffusion
    named = ["ddim-50", "ddim-20", "dpmpp-2m-20", "dpmpp-2m-10", f"ancestral-{diffusion.steps}"]
    assert list(held) == [*named, "default"]
    own = {key: held["default"][key] for key in ("sampler", "steps", "eta")}
    assert own == {"sampler": "ddim", "steps": diffusion.sampler_steps, "eta": diffusion.eta}
    for name, recipe in held.items():
        table = np.frombuffer(base64.b64decode(recipe["table"]), "<f4").reshape(-1, 9)
        assert name in ("default", f"{recipe['sampler']}-{recipe['steps']}")
        assert len(table) == recipe["steps"]
        want = plans.make_plan(
            plans.alpha_bar(diffusion.schedule, diffusion.steps),
            sampler=recipe["sampler"], steps=recipe["steps"], eta=recipe["eta"], prediction=diffusion.prediction,
        )  # fmt: skip
        np.testing.assert_array_equal(table, want)


def test_file_passes_every_check_of_its_reader(model):
    read = model_file.read(model.onnx)
    assert read.manifest == model.manifest


@pytest.mark.parametrize("classes", [(), ("a", "b"), ("a", "b", "c", "d")])
def test_wrong_number_of_class_names_is_refused_before_any_work(conditional, classes, tmp_path):
    with pytest.raises(JaxgenError, match=f"expected the names of 3 classes .*, got {len(classes)}"):
        export_model(conditional.config, conditional.params, tmp_path / "m.onnx", classes=classes, say=pytest.fail)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_are_refused_before_any_work(conditional, unconditional, tmp_path):
    with pytest.raises(JaxgenError, match="weights do not fit this config"):
        export_model(unconditional.config, conditional.params, tmp_path / "m.onnx", say=pytest.fail)
    assert not list(tmp_path.iterdir())
