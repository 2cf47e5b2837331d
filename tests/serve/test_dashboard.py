"""The dashboard without its pages: forms, models and downloads."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxgen import config as configs
from jaxgen.config import presets
from jaxgen.errors import JaxgenError
from jaxgen.images import read_png
from jaxgen.inference import model_file
from jaxgen.inference.provenance import read_provenance
from jaxgen.inference.request import Request
from jaxgen.inference.sampler import Model
from jaxgen.inference.writers import replay
from jaxgen_serve.dashboard import models, settings_form
from jaxgen_serve.dashboard.images import GenerationResult
from jaxgen_serve.dashboard.models import ServedModel
from jaxgen_serve.models import registry


@pytest.mark.parametrize("name", ["vae-digits", "gan-digits", "ddpm-digits", "flow-digits", "classifier-digits"])
def test_form_has_every_key_of_the_config_and_changes_what_it_is_told(name):
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


def test_uploads_are_one_drawing_file_and_its_encoder_or_refused_in_a_line(family, restamped):
    vae = family("vae")
    classifier = restamped(vae.encoder, manifest=lambda entries: entries["inference"].update(kind="classifier"))
    drawing, encoder = models.received(
        [("v.encoder.onnx", vae.encoder.read_bytes()), ("v.onnx", vae.onnx.read_bytes())]
    )
    assert (drawing.sha256, encoder.sha256) == tuple(model_file.read(path).sha256 for path in (vae.onnx, vae.encoder))
    bad = {
        "not an ONNX file": [("model.pth", pickle.dumps({"weights": [1.0]}))],
        "is an encoder: give the model": [("v.encoder.onnx", vae.encoder.read_bytes())],
        "got two samplers": [("a.onnx", vae.onnx.read_bytes())] * 2,
        "draws nothing: it is a classifier": [("c.onnx", classifier.read_bytes())],
        "at most 64 MB, got 65 MB": [("large.onnx", bytes(65 * 2**20))],
    }
    for line, files in bad.items():
        with pytest.raises(JaxgenError, match=line) as refused:
            models.received(files)
        assert "\n" not in str(refused.value)


def test_message_on_a_model_file_does_not_say_where_it_lies(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for path in (tmp_path / "broken.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(JaxgenError, match="mine") as refused:
            registry.read(path, "mine")
        assert str(tmp_path) not in str(refused.value)


def test_deadline_holds_over_several_calls(conditional):
    model = ServedModel(name="tiny", sampler=Model.open(conditional.onnx))
    limited = model.within(0.0)
    with pytest.raises(JaxgenError, match="longer than its deadline"):
        limited.sample(np.array([0]), np.array([0]))
    images, _ = model.within(60.0).sample(np.array([3]), np.array([1]))
    assert (images == model.sampler.sample(np.array([3]), np.array([1]))[0]).all()


@pytest.fixture(scope="module", params=["all", 2])  # of class 2, while class 1 has the name "2"
def drawn(conditional, request) -> GenerationResult:
    label = request.param
    sampler = Model.open(conditional.onnx)
    asked = Request.checked(
        sampler, seed=7, first=2, count=5, label=label, guidance=None, sampler="ddim", steps=4, eta=None
    )
    return GenerationResult.of(sampler, "tiny", asked)


def test_sheet_is_drawn_again_by_replay(drawn, conditional, tmp_path):
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(drawn.sheet())
    assert replay(sheet, read_provenance(sheet), conditional.onnx, None)[1] == "identical: every pixel"


def test_few_images_move_side_by_side(drawn):
    with Image.open(io.BytesIO(drawn.gif(drawn.model))) as gif:
        assert gif.width - 2 == 5 * (gif.height - 2)  # five squares, and lines of 2 pixels around each
        assert gif.n_frames > 1


def test_command_that_is_shown_draws_the_same_images_as_the_zip(drawn, conditional, jaxgen, tmp_path):
    words = drawn.command().removeprefix("jaxgen ").replace("tiny.onnx", str(conditional.onnx)).split()
    done = jaxgen(*words, "-o", f"{tmp_path}/wanted/")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(io.BytesIO(drawn.zip())) as file:
        file.extractall(tmp_path / "got")
    wanted, got = (sorted((tmp_path / name).iterdir()) for name in ("wanted", "got"))
    assert [path.name for path in wanted] == [path.name for path in got] and len(got) == 5
    for a, b in zip(wanted, got, strict=True):
        assert (read_png(a) == read_png(b)).all()
        assert read_provenance(a) == read_provenance(b)
