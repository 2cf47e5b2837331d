"""jaxgen info and jaxgen verify; and what every command makes of a bad model file."""

import json
import os
import random
import re
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

COMMANDS = {
    "sample": ("sample", "MODEL", "-n", "1", "-o", "out.png"),
    "verify": ("verify", "MODEL"),
    "info": ("info", "MODEL"),
    "info --json": ("info", "MODEL", "--json"),
}


def arguments(name, path):
    return [path if word == "MODEL" else word for word in COMMANDS[name]]


# --- good files


def test_verify_says_so(command, model):
    outcome = command("verify", model.onnx)
    assert (outcome.code, outcome.err) == (0, "")
    assert re.fullmatch(r"verified: (100|99\.[5-9])\S+ of pixels identical in 8 images, .*\n", outcome.out)


def test_verify_as_json(command, model):
    outcome = command("verify", model.onnx, "--json", "--threads", 1)
    assert (outcome.code, outcome.err) == (0, "")
    result = json.loads(outcome.out)
    assert set(result) == {"same", "identical", "off_by", "images", "line"}
    assert (result["same"], result["images"]) == (True, 8)


def test_info_as_json_is_the_manifest(command, model):
    outcome = command("info", model.onnx, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out) == model.manifest


def test_info_says_what_the_file_is(command, model):
    outcome = command("info", model.onnx)
    assert (outcome.code, outcome.err) == (0, "")
    said = {line[:12].strip(): line[12:] for line in outcome.out.splitlines()}
    diffusion, parameters = model.config.diffusion, sum(value.size for value in model.params.values())
    assert said["model"] == f"{model.config.name} (ddpm), {parameters:,} parameters"
    assert said["images"] == f"8x8x{model.config.data.channels}"
    assert said["classes"] == (", ".join(model.classes) or "none (unconditional)")
    assert said["trained on"] == "digits, 1,234 steps, test loss not measured"
    words = (f"T = {diffusion.steps}", diffusion.schedule, f"predicts {diffusion.prediction}")
    assert said["process"] == f"diffusion: {', '.join(words)}"
    more = ", eta 0.5, guidance 1.5" if model.classes else ""
    assert said["default"] == f"ddim, {diffusion.sampler_steps} steps{more}"
    assert ", format 2, by jaxgen " in said["file"]
    assert said["recorded"] == f'name "{model.config.name}", family "ddpm"'
    assert said["[data]"].startswith('dataset "digits", ')
    assert said["[data]"].endswith(f"size 8, channels {model.config.data.channels}, without []")
    assert f'schedule "{diffusion.schedule}"' in said["[diffusion]"] and "scan_steps 0" in said["[training]"]
    assert said["sha256"] == model.manifest["sha256"]
    assert said["certificate"].endswith(f"in {len(model.manifest['certificate']['trajectories'])} comparisons")


# --- a file that samples something else than it did


def other_weights(proto):
    (loop,) = (node for node in proto.graph.node if node.op_type == "Loop")
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    tensor = next(tensor for tensor in body.initializer if tensor.name.endswith("conv_out.bias"))
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 0.1, tensor.name))


def test_verify_exits_3_on_other_weights_with_a_right_hash(command, refused, restamped, unconditional):
    path = restamped(unconditional.onnx, proto=other_weights)
    assert "does not reproduce its certificate on this machine" in refused(3, "verify", path)
    outcome = command("verify", path, "--json")
    assert outcome.code == 3
    assert json.loads(outcome.out)["same"] is False
    assert "does not reproduce" in outcome.line


# --- bad files


def damaged(model):
    """A random bit flipped; where, depends on the attempt."""
    data, rng = bytearray(model.onnx.read_bytes()), random.Random(0)
    while True:
        at, bit = rng.randrange(len(data)), rng.randrange(8)
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        yield at, bit, bytes(changed)


@pytest.mark.parametrize("name", COMMANDS)
def test_flipped_bit_anywhere_exits_3(refused, unconditional, name):
    for number, (_, _, data) in enumerate(damaged(unconditional)):
        if number == (200 if name == "info" else 25):
            break
        Path("bad.onnx").write_bytes(data)
        assert refused(3, *arguments(name, "bad.onnx")).startswith("bad.onnx: ")


@pytest.mark.parametrize("share", [0, 1e-4, 0.3, 0.999])
@pytest.mark.parametrize("name", COMMANDS)
def test_truncated_file_exits_3(refused, unconditional, name, share):
    data = unconditional.onnx.read_bytes()
    Path("short.onnx").write_bytes(data[: int(share * len(data))])
    refused(3, *arguments(name, "short.onnx"))


def foreign(path):
    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])

    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value("x")], [value("y")])
    onnx.save(helper.make_model(graph), path)


def future(path, model):
    changed = onnx.load_from_string(model.onnx.read_bytes())
    entry = changed.metadata_props[0]
    entry.value = entry.value.replace('"format": 2', '"format": 3')
    path.write_bytes(changed.SerializeToString())


def pickled(path):
    import pickle

    path.write_bytes(pickle.dumps({"weights": [1.0] * 1000}))


def outside_data(proto):
    tensor = proto.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    tensor.ClearField("raw_data")


def foreign_operator(proto):
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    proto.graph.node.append(helper.make_node("Gelu", ["seed"], ["nothing"], domain="com.microsoft"))


BAD = {
    "no such file": (lambda path, model: None, "no such file"),
    "a folder": (lambda path, model: path.mkdir(), "got a folder, pipe or device"),
    "a pipe": (lambda path, model: os.mkfifo(path), "got a folder, pipe or device"),
    "text": (lambda path, model: path.write_text("hello, world\n"), "is not an ONNX file or is damaged"),
    "pickle": (lambda path, model: pickled(path), "is not an ONNX file or is damaged"),
    "an ONNX file of somebody else's": (lambda path, model: foreign(path), "but not one of jaxgen's"),
    "a future version": (future, "made by a newer jaxgen"),
    "TorchScript": (lambda path, model: path.write_bytes(model.torchscript.read_bytes()), "is not an ONNX file"),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("make", "complaint"), BAD.values(), ids=BAD)
def test_what_is_no_model_exits_3(refused, unconditional, name, make, complaint):
    make(Path("bad.onnx"), unconditional)
    assert complaint in refused(3, *arguments(name, "bad.onnx"))
    assert {path.name for path in Path().iterdir()} <= {"bad.onnx"}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("change", "complaint"), [(outside_data, "external data"), (foreign_operator, "the domain 'com.microsoft'")]
)
def test_model_that_reaches_outside_itself_exits_3_whatever_its_hash(
    refused, unconditional, name, change, complaint, monkeypatch
):
    from jaxgen.inference import model_file

    changed = onnx.load_from_string(unconditional.onnx.read_bytes())
    change(changed)
    entry = changed.metadata_props[0]
    entry.value = entry.value.replace(unconditional.manifest["sha256"], "0" * 64)
    Path("bad.onnx").write_bytes(model_file.stamp(changed.SerializeToString()))
    assert complaint in refused(3, *arguments(name, "bad.onnx"))


ODD = {  # records, which nothing depends on
    "no certificate": (lambda entries: entries.pop("certificate"), "certificate none\n"),
    "a certificate that is none": (lambda entries: entries.update(certificate=[1]), "certificate none\n"),
    "no trajectories": (lambda entries: entries["certificate"].update(trajectories=[]), "certificate not understood: "),
    "odd trajectories": (
        lambda entries: entries["certificate"].update(trajectories=[1]),
        "certificate not understood: ",
    ),
    "no weights": (lambda entries: entries.pop("weights"), "tiny (ddpm), an unknown number of parameters\n"),
    "no training": (lambda entries: entries.pop("training"), "digits, unknown steps, test loss not measured\n"),
    "a training that is none": (lambda entries: entries.update(training=3), "digits, unknown steps, test loss not "),
    "odd plans": (lambda entries: entries.update(plans=None), "plans       \n"),
    "an odd config": (lambda entries: entries["config"]["data"].update(size="large"), 'size "large"'),
    "no config": (lambda entries: entries.pop("config"), "recorded    nothing\n"),
    "a config without a name": (lambda entries: entries.update(config={"a": 1}), "unnamed, 33,041 parameters\n"),
    "a config that is none": (lambda entries: entries.update(config=[1]), "trained on  unknown data, 1,234 steps"),
    "a name with an escape": (lambda entries: entries["config"].update(name="\x1b[31m"), "(ddpm), 33,041 parameters\n"),
}


@pytest.mark.parametrize(("change", "words"), ODD.values(), ids=ODD)
def test_info_shows_what_is_there_of_an_odd_record(command, restamped, unconditional, change, words):
    path = restamped(unconditional.onnx, manifest=change)
    outcome = command("info", path)
    assert (outcome.code, outcome.err) == (0, "")
    assert words in outcome.out and "\x1b" not in outcome.out


INCOMPLETE = {
    "no kind": lambda entries: entries["inference"].pop("kind"),
    "no classes": lambda entries: entries["inference"].pop("classes"),
    "a shape in words": lambda entries: entries["inference"].update(image_shape="8x8"),
    "no plan": lambda entries: entries["inference"].pop("plan"),
}


@pytest.mark.parametrize("change", INCOMPLETE.values(), ids=INCOMPLETE)
@pytest.mark.parametrize("name", COMMANDS)
def test_incomplete_inference_section_is_one_line(refused, restamped, unconditional, change, name):
    path = restamped(unconditional.onnx, manifest=change)
    line = refused(3, *arguments(name, path))
    assert line.startswith(f"{path}: its manifest") and line.endswith("; export it again")


def test_info_of_a_model_whose_training_is_unknown_works(command, restamped, unconditional):
    path = restamped(unconditional.onnx, manifest=lambda entries: entries.update(training={}))
    outcome = command("info", path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "unknown steps" in outcome.out


SOURCE = {"file": "g\x1b[31m.pth", "sha256": "ab" * 32}


@pytest.mark.parametrize(
    ("steps", "source", "words"),
    [
        (0, SOURCE, "unknown data, elsewhere: imported from 'g\\x1b[31m.pth', SHA-256 'abab"),
        (9, SOURCE, "abab'; then digits, 9 steps, test loss not measured"),
        (9, [], "trained on  digits, 9 steps"),
        (9, {}, "imported from None"),
    ],
)  # fmt: skip
def test_info_of_imported_weights_says_from_where(command, restamped, unconditional, steps, source, words):
    facts = {"steps": steps, "test_loss": None, "imported": source}
    path = restamped(unconditional.onnx, manifest=lambda entries: entries.update(training=facts))
    outcome = command("info", path)
    assert (outcome.code, outcome.err) == (0, "")
    assert words in outcome.out and "\x1b" not in outcome.out


def test_info_of_a_student_names_its_teacher(command, restamped, unconditional):
    facts = {"steps": 9, "test_loss": None, "teacher": {"name": "big\x1b[31m", "sha256": "ab" * 32, "steps": 7}}
    path = restamped(unconditional.onnx, manifest=lambda entries: entries.update(training=facts))
    outcome = command("info", path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "9 steps, test loss not measured; its teacher: 'big\\x1b[31m', weights 'abab" in outcome.out
    path = restamped(unconditional.onnx, manifest=lambda entries: entries["training"].update(teacher="nobody"))
    assert "teacher" not in command("info", path).out.partition("[")[0]


@pytest.mark.parametrize("options", [("--threads", "0"), ("--threads", "x"), ("--color",), ("extra",)], ids=" ".join)
@pytest.mark.parametrize("name", ["verify", "info"])
def test_request_that_cannot_be_meant_exits_2(refused, unconditional, name, options):
    refused(2, name, unconditional.onnx, *options)
