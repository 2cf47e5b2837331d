"""The dashboard without its pages: forms, models and commands."""

import pickle
import shlex

import pytest

from jaxgen import config as configs
from jaxgen.config import presets
from jaxgen.errors import JaxgenError
from jaxgen.inference import model_file
from jaxgen.inference.model import Model
from jaxgen_serve.dashboard import models, settings_form
from jaxgen_serve.dashboard.commands import Command, answer
from jaxgen_serve.dashboard.models import LoadedModel
from jaxgen_serve.models import registry


@pytest.mark.parametrize("name", ["vae-digits", "gan-digits", "ddpm-digits", "flow-digits", "classifier-digits"])
def test_form_has_every_key_of_the_config_and_changes_the_given_ones(name):
    config = presets.preset(name)
    found = {setting.key: setting for group in settings_form.settings(config).values() for setting in group}
    assert set(found) == {key for key in configs.all_keys(config.family) if "." in key}
    values = {key: setting.value for key, setting in found.items()}
    assert settings_form.changes(config, values) == []
    told = settings_form.changes(
        config, values | {"training.lr": 0.5, "training.optimizer": "sgd", "data.without": "8, 9"}
    )
    again = configs.override(config, told)
    assert (again.training.lr, again.training.optimizer, again.data.without) == (0.5, "sgd", (8, 9))
    assert found["training.batch_size"].meaning == "over all devices"
    assert found["training.optimizer"].choices == ("adam", "adamw", "lion", "sgd")
    samplers = {"ddpm": ("ancestral", "ddim", "dpmpp-2m"), "flow": ("euler",)}.get(config.family)
    key = {"ddpm": "diffusion.sampler", "flow": "flow.sampler"}.get(config.family)
    assert key is None or (found[key].kind, found[key].choices) == ("choice", samplers)


def test_form_offers_both_values_of_a_switch():
    config = presets.preset("cvae-digits")
    (found,) = [one for one in settings_form.settings(config)["model"] if one.key == "model.encoder_label"]
    assert (found.kind, found.choices, found.value) == ("choice", (False, True), True)
    assert settings_form.changes(config, {"model.encoder_label": False}) == ["model.encoder_label=false"]


def test_uploads_are_one_model_and_its_encoder_or_refused_in_a_line(family, restamped):
    vae = family("vae")
    classifier = restamped(vae.encoder, manifest=lambda entries: entries["inference"].update(kind="classifier"))
    model, encoder = models.parse_uploads(
        [("v.encoder.onnx", vae.encoder.read_bytes()), ("v.onnx", vae.onnx.read_bytes())]
    )
    assert (model.sha256, encoder.sha256) == tuple(model_file.read(path).sha256 for path in (vae.onnx, vae.encoder))
    bad = {
        "not an ONNX file": [("model.pth", pickle.dumps({"weights": [1.0]}))],
        "is an encoder: give the model": [("v.encoder.onnx", vae.encoder.read_bytes())],
        "got two samplers": [("a.onnx", vae.onnx.read_bytes())] * 2,
        "generates no images: it is a classifier": [("c.onnx", classifier.read_bytes())],
        "at most 64 MB, got 65 MB": [("large.onnx", bytes(65 * 2**20))],
    }
    for line, files in bad.items():
        with pytest.raises(JaxgenError, match=line) as refused:
            models.parse_uploads(files)
        assert "\n" not in str(refused.value)


def test_message_on_a_model_file_does_not_say_where_it_lies(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for path in (tmp_path / "broken.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(JaxgenError, match="mine") as refused:
            registry.read(path, "mine")
        assert str(tmp_path) not in str(refused.value)


@pytest.fixture
def tiny(conditional) -> LoadedModel:
    return LoadedModel(name="a-run/tiny", model=Model.open(conditional.onnx), file=str(conditional.onnx))


def test_command_that_is_shown_samples_the_same_images_as_the_page(tiny, jaxgen, tmp_path):
    command = Command(verb=("sample",), words=("-n", "5", "--seed", "7", "--label", "bee", "--steps", "4"))
    done = jaxgen(*shlex.split(command.line(tiny))[1:], "-o", f"{tmp_path}/wanted/")
    assert done.returncode == 0, done.stderr
    got = answer(tiny, command, "images/")
    assert got.files == {path.name: path.read_bytes() for path in sorted((tmp_path / "wanted").iterdir())}
    assert len(got.files) == 5 and got.printed == "images/\n"


def test_command_that_fails_says_why_by_the_names_that_people_gave(tiny):
    unread = ("notes.png", b"no image")
    for command, line in {
        Command(verb=("sample",), words=("--steps", "51")): "sampling steps must be from 1 to 50",
        Command(verb=("latent", "inpaint"), words=(), file=unread): "notes.png: cannot be read as an image",
    }.items():
        with pytest.raises(JaxgenError) as refused:
            answer(tiny, command, "answer.png")
        assert str(refused.value).startswith(line) and "/tmp" not in str(refused.value)
