"""The inference section of a manifest: what is written is read back, and each wrong key is one line that names it.

docs/manifest.schema.json and `Inference.parse` are two accounts of the same thing; here each is held to the other.
"""

import copy
import json
import math
from pathlib import Path

import pytest
from golden import calls
from schemas import SCHEMA, VALIDATOR

from jaxgen.errors import JaxgenError
from jaxgen.inference import manifest, model_file
from jaxgen.inference.manifest import Inference, Likelihood, require_known
from jaxgen.sampling.process import Diffusion, Flow, Unknown
from jaxgen.sampling.sampler_spec import SamplerSpec

DIFFUSION = {
    "kind": "diffusion", "steps": 1000, "schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02,
    "prediction": "eps", "clip": 1.0,
}  # fmt: skip
SAMPLER = {
    "kind": "sampler", "image_shape": [8, 8, 1], "classes": ["0", "1"], "null_class": True, "noise_shape": [8, 8, 1],
    "process": DIFFUSION, "plan": {"sampler": "ddim", "steps": 50, "eta": 0.0}, "guidance": 1.5,
}  # fmt: skip
CODES = {
    "kind": "sampler", "image_shape": [8, 6, 3], "classes": [], "null_class": True, "noise_shape": [20],
    "process": None, "likelihood": {"kind": "gaussian", "sigma": 0.2},
}  # fmt: skip
READER = {"kind": "encoder", "image_shape": [8, 8, 1], "classes": []}


def whole(inference: object) -> dict:
    """A manifest around the section."""
    return {"format": 2, "sha256": "0" * 64, "jaxgen": "0.1.0", "requires": [], "inference": inference}


def changed(section: dict, key: str, *value: object) -> dict:
    """A copy in which a dotted key has this value, or is gone if there is none."""
    copied = copy.deepcopy(section)
    *sections, leaf = key.split(".")
    place = copied
    for name in sections:
        place = place[name]
    if value:
        place[leaf] = value[0]
    else:
        del place[leaf]
    return copied


# --- what is right


def test_diffusion_is_read_key_by_key():
    assert Inference.parse(SAMPLER, "m") == Inference(
        kind="sampler",
        image_shape=(8, 8, 1),
        classes=("0", "1"),
        null_class=True,
        noise_shape=(8, 8, 1),
        process=Diffusion(
            steps=1000, schedule="linear", beta_start=1e-4, beta_end=0.02, prediction="eps", clip=1.0
        ),
        plan=SamplerSpec("ddim", 50, 0.0),
        guidance=1.5,
    )  # fmt: skip


def test_model_of_codes_has_neither_process_nor_plan():
    found = Inference.parse({**CODES, "plan": 3, "guidance": "x"}, "m")  # nobody asks for these
    assert (found.noise_shape, found.process, found.plan, found.guidance) == ((20,), None, None, None)
    assert found.likelihood == Likelihood(kind="gaussian", sigma=0.2)


def test_infinite_clip_is_null_in_json():
    found = Inference.parse(changed(SAMPLER, "process.clip", None), "m")
    assert isinstance(found.process, Diffusion) and found.process.clip == math.inf
    assert found.to_dict()["process"]["clip"] is None


GOOD = {
    "diffusion": SAMPLER,
    "diffusion without classes": changed(changed(SAMPLER, "classes", []), "guidance"),
    "no clipping": changed(SAMPLER, "process.clip", None),
    "a schedule without betas": changed(
        changed(changed(SAMPLER, "process.schedule", "cosine"), "process.beta_start"), "process.beta_end"
    ),
    "an unknown schedule": changed(SAMPLER, "process.schedule", "karras"),
    "an unknown prediction": changed(SAMPLER, "process.prediction", "score"),
    "an unknown sampler": changed(SAMPLER, "plan.sampler", "heun"),
    "an unknown process": changed(SAMPLER, "process", {"kind": "edm", "sigma": 80}),
    "flow": changed(SAMPLER, "process", {"kind": "flow", "time_scale": 1000.0}),
    "codes": CODES,
    "Bernoulli": changed(CODES, "likelihood", {"kind": "bernoulli"}),
    "an unknown likelihood": changed(CODES, "likelihood", {"kind": "laplace"}),
    "no likelihood": changed(CODES, "likelihood"),
    "one evaluation from an image of noise": changed(CODES, "noise_shape", [8, 6, 3]),
    "reader": READER,
    "classifier": {**READER, "kind": "classifier", "classes": ["a", "b"]},
    "reader of images and classes": {**READER, "classes": ["a", "b"], "takes_label": True},
    "reader of images alone": {**READER, "takes_label": False},
}


@pytest.mark.parametrize("section", GOOD.values(), ids=GOOD)
def test_section_is_valid_and_survives_being_written(section):
    VALIDATOR.validate(whole(section))
    found = Inference.parse(section, "m")
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    VALIDATOR.validate(whole(written))
    assert Inference.parse(written, "m") == found


@pytest.mark.parametrize("section", GOOD.values(), ids=GOOD)
def test_unknown_keys_are_ignored_wherever_they_stand(section):
    odd = {"surprise": [1, {"a": None}]}
    more = {key: {**value, **odd} if isinstance(value, dict) else value for key, value in section.items()} | odd
    VALIDATOR.validate(whole(more))
    assert Inference.parse(more, "m") == Inference.parse(section, "m")


@pytest.mark.parametrize("process", [Diffusion(steps=9), Flow(time_scale=2.0), Unknown(kind="edm")], ids=repr)
def test_process_says_its_kind(process):
    written = Inference(
        kind="sampler", image_shape=(8, 8, 1), noise_shape=(8, 8, 1), process=process, plan=SamplerSpec("ddim", 9)
    ).to_dict()  # fmt: skip
    assert written["process"]["kind"] == {Diffusion: "diffusion", Flow: "flow", Unknown: "edm"}[type(process)]
    assert Inference.parse(written, "m").process == process


# --- what is wrong


MISSING = {
    "sampler": (SAMPLER, [
        "kind", "image_shape", "classes", "null_class", "noise_shape", "process", "process.kind", "process.steps",
        "process.schedule", "process.beta_start", "process.beta_end", "process.prediction", "process.clip", "plan",
        "plan.sampler", "plan.steps", "plan.eta", "guidance",
    ]),
    "flow": (GOOD["flow"], ["process.time_scale"]),
    "codes": (CODES, ["noise_shape", "null_class", "process", "likelihood.kind", "likelihood.sigma"]),
    "reader": (READER, ["kind", "image_shape", "classes"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("section", "key"),
    [(section, key) for section, keys in MISSING.values() for key in keys],
    ids=[f"{name} {key}" for name, (_, keys) in MISSING.items() for key in keys],
)
def test_missing_key_is_named(section, key):
    bad = changed(section, key)
    assert not VALIDATOR.is_valid(whole(bad))
    with pytest.raises(JaxgenError) as refused:
        Inference.parse(bad, "some/m.onnx")
    assert str(refused.value) == f"some/m.onnx: its manifest has no 'inference.{key}'; export it again"


WRONG = [
    (SAMPLER, "kind", "drawer", "one of sampler, network, encoder, classifier, got 'drawer'"),
    (SAMPLER, "kind", ["sampler"], "one of sampler, network, encoder, classifier, got ['sampler']"),
    (SAMPLER, "image_shape", "8x8", "3 integers from 1 to 4096, got '8x8'"),
    (SAMPLER, "image_shape", [8, 8], "3 integers from 1 to 4096, got [8, 8]"),
    (SAMPLER, "image_shape", [8, 8.0, 1], "3 integers from 1 to 4096, got [8, 8.0, 1]"),
    (SAMPLER, "image_shape", [8, True, 1], "3 integers"),
    (SAMPLER, "image_shape", [0, 8, 1], "3 integers"),
    (SAMPLER, "image_shape", [8, 2**30, 1], "3 integers"),
    (SAMPLER, "image_shape", [8, 8, 2], "[height, width, 1 or 3], got [8, 8, 2]"),
    (SAMPLER, "classes", "ab", "a list of at most 100000 names, got 'ab'"),
    (SAMPLER, "classes", [1, 2], "a list of at most 100000 names, got [1, 2]"),
    (SAMPLER, "classes", None, "a list of at most 100000 names, got null"),
    (SAMPLER, "null_class", 1, "true or false, got 1"),
    (SAMPLER, "noise_shape", [8, 8], "1 or 3 integers from 1 to 4096, got [8, 8]"),
    (SAMPLER, "noise_shape", 20, "1 or 3 integers"),
    (SAMPLER, "noise_shape", [20], "[8, 8, 1], the image's, for a model with a process, got [20]"),
    (SAMPLER, "process", "diffusion", "an object, got 'diffusion'"),
    (SAMPLER, "process.kind", 3, "a name, got 3"),
    (SAMPLER, "process.kind", "", "a name, got ''"),
    (SAMPLER, "process.kind", "x" * 1001, "a name, got 'xxxxx"),
    (SAMPLER, "process.steps", "1000", "an integer from 1 to 100000, got '1000'"),
    (SAMPLER, "process.steps", 0, "an integer from 1 to 100000, got 0"),
    (SAMPLER, "process.steps", True, "an integer from 1 to 100000, got True"),
    (SAMPLER, "process.steps", 10.0, "an integer"),
    (SAMPLER, "process.schedule", 1, "a name, got 1"),
    (SAMPLER, "process.beta_start", "1e-4", "a number above 0 to 0.02, got '1e-4'"),
    (SAMPLER, "process.beta_start", 0, "a number above 0 to 0.02, got 0"),
    (SAMPLER, "process.beta_end", 1, "a number above 0 below 1, got 1"),
    (SAMPLER, "process.prediction", None, "a name, got null"),
    (SAMPLER, "process.clip", 0, "a number above 0 to 1e+30, got 0"),
    (SAMPLER, "process.clip", "1", "a number above 0 to 1e+30, got '1'"),
    (SAMPLER, "plan", "ddim-50", "an object, got 'ddim-50'"),
    (SAMPLER, "plan", None, "an object, got null"),
    (SAMPLER, "plan.sampler", {}, "a name, got an object"),
    (SAMPLER, "plan.steps", 100_001, "an integer from 1 to 100000, got 100001"),
    (SAMPLER, "plan.eta", 1.5, "a number from 0 to 1, got 1.5"),
    (SAMPLER, "plan.eta", False, "a number from 0 to 1, got False"),
    (SAMPLER, "guidance", 101, "a number from 0 to 100, got 101"),
    (SAMPLER, "guidance", -1, "a number from 0 to 100, got -1"),
    (SAMPLER, "guidance", "2", "a number from 0 to 100, got '2'"),
    (GOOD["flow"], "process.time_scale", 0, "a number above 0 to 1e+06, got 0"),
    (CODES, "likelihood", "gaussian", "an object, got 'gaussian'"),
    (CODES, "likelihood", None, "an object, got null"),
    (CODES, "likelihood.kind", 1, "a name, got 1"),
    (CODES, "likelihood.sigma", 0, "a number above 0 to 1e+06, got 0"),
    (CODES, "process", False, "an object, got False"),
    (READER, "image_shape", [[8, 8, 1]], "3 integers"),
    (READER, "takes_label", True, "false without classes, got True"),
    (GOOD["reader of images and classes"], "takes_label", 1, "true or false, got 1"),
]


@pytest.mark.parametrize(
    ("section", "key", "value", "want"), WRONG, ids=[f"{key} {str(value)[:20]}" for _, key, value, _ in WRONG]
)
def test_mistyped_key_is_one_line_that_names_it(section, key, value, want):
    bad = changed(section, key, value)
    with pytest.raises(JaxgenError) as refused:
        Inference.parse(bad, "some/m.onnx")
    message = str(refused.value)
    assert message.startswith(f"some/m.onnx: its manifest: 'inference.{key}' must be {want}")
    assert message.endswith("; export it again") and "\n" not in message and len(message) < 250


INTEGERS_OF_JSON = ("[8, 8.0, 1]", "10.0")  # 10.0 is one there, and none here


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [(section, key, value) for section, key, value, _ in WRONG if str(value) not in INTEGERS_OF_JSON],
    ids=[f"{key} {str(value)[:20]}" for _, key, value, _ in WRONG if str(value) not in INTEGERS_OF_JSON],
)
def test_schema_refuses_what_the_reader_refuses(section, key, value):
    assert not VALIDATOR.is_valid(whole(changed(section, key, value)))


@pytest.mark.parametrize("section", [None, [], "x", 3])
def test_section_that_is_no_object_is_refused(section):
    assert not VALIDATOR.is_valid(whole(section))
    with pytest.raises(JaxgenError, match="'inference' must be an object"):
        Inference.parse(section, "m")


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", 1), ("format", 3), ("format", "2"), ("sha256", "0" * 63), ("sha256", "A" * 64), ("jaxgen", 1),
     ("requires", "x"), ("requires", [1]), ("plans", []), ("plans", {"a": {"sampler": "ddim"}}), ("config", []),
     ("training", None), ("weights", {"sha256": 1}), ("certificate", {}), ("certificate", {"probe": {}})],
)  # fmt: skip
def test_schema_refuses_a_manifest_of_another_shape(key, value):
    VALIDATOR.validate(whole(READER))
    assert not VALIDATOR.is_valid({**whole(READER), key: value})


# --- requires


def test_requires_refuses_what_is_not_known_by_name(monkeypatch):
    require_known([], "m")
    with pytest.raises(JaxgenError) as refused:
        require_known(["x", "y\x1b\n"], "m.onnx")
    assert str(refused.value).startswith("m.onnx: needs 'x', 'y\\x1b\\n', which jaxgen 0.")
    assert str(refused.value).endswith("does not know; upgrade jaxgen to open it")
    monkeypatch.setattr(manifest, "FEATURES", frozenset({"x"}))
    require_known(["x"], "m")


@pytest.mark.parametrize("features", ["x", {"x": 1}, [1], None, 3])
def test_requires_that_is_no_list_of_names_is_refused(features):
    with pytest.raises(JaxgenError, match="m: its manifest: 'requires' must be a list of names, got"):
        require_known(features, "m")


# --- files


def test_docs_name_every_key_of_the_section():
    page = (Path(__file__).parents[2] / "docs/file.md").read_text()
    properties = SCHEMA["$defs"]["inference"]["properties"] | SCHEMA["$defs"]["sampler"]["properties"]
    for key in (*properties, "plan", "guidance"):
        assert f"| `{key}` |" in page
    for key in SCHEMA["properties"]:
        assert f"`{key}`" in page or f'"{key}"' in page


@pytest.mark.parametrize("name", [*calls.SAMPLERS, *calls.READERS])
def test_file_of_format_1_upgraded_is_what_the_schema_says_of_format_2(name):
    upgraded = model_file.read(calls.HERE / "format1" / f"{name}.onnx").manifest
    assert upgraded["format"] == 1 and "kind" not in upgraded and "classes" not in upgraded
    VALIDATOR.validate({**upgraded, "format": 2})
