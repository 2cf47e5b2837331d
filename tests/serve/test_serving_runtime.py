"""A server in another runtime than the usual one."""

import numpy as np
import pytest
from golden import calls

from jaxgen.errors import UsageError
from jaxgen.inference.model import Model
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.models.registry import Library
from jaxgen_serve.settings import Settings

FILES = calls.HERE / "format1"


def test_models_and_their_encoders_are_run_in_the_runtime_that_was_chosen():
    """tract reads the encoder and not the model; and of neither would the usual runtime say so."""
    assert "tract cannot load it" in Library([FILES / "ddpm.onnx"], runtime="tract").refused["ddpm.onnx"]
    served = Library([FILES / "vae.onnx"], runtime="reference").get(None)
    assert served.encoder is not None
    found, want = calls.read(served.encoder), calls.answers(FILES, "vae.encoder")
    for output in want:
        np.testing.assert_allclose(found[output], want[output], rtol=1e-4, atol=1e-5)


def test_engine_cuts_plans_in_another_runtime_as_in_the_usual_one():
    path = FILES / "ddpm.onnx"
    served, engine, want = Library([path], runtime="reference").get(None), Engine(slice_seconds=1e-3), Model.open(path)
    try:
        plan, seen = want.plan(sampler="ddim", steps=6, eta=1.0), []
        watching = {"on_frame": lambda row, rows, images: seen.append(row)}
        images, _ = engine.sample(served, [3, 4], [0, 9], plan=plan, deadline=60, **watching).result()
    finally:
        engine.close()
    np.testing.assert_array_equal(images, want.sample([3, 4], [0, 9], plan=plan)[0])
    assert seen == [1, 2, 3, 4, 5, 6]


def test_file_without_a_certificate_is_not_served_in_another_runtime(family, restamped):
    path = restamped(family("vae").onnx, manifest=lambda entries: entries.pop("certificate"))
    assert Library([path]).refused == {}
    refused = Library([path], runtime="reference").refused["restamped.onnx"]
    assert refused.startswith("restamped: has no certificate") and str(path.parent) not in refused


def test_choice_that_no_server_could_keep_to_is_refused_at_once():
    with pytest.raises(UsageError, match=r"unknown runtime 'trakt' \(did you mean 'tract'\?\)"):
        Settings(how={"runtime": "trakt"})
    with pytest.raises(UsageError, match="onnxruntime has no provider 'coreml' here, only cpu"):
        Settings(how={"provider": "coreml"})
    with pytest.raises(UsageError, match="uploads are only tried in onnxruntime"):
        Settings(how={"runtime": "reference"}, allow_uploads=True)
    Settings(how={"provider": "cpu", "threads": 2}, allow_uploads=True)


def test_command_hands_the_choice_on(jaxgen, tmp_path):
    done = jaxgen("serve", FILES / "ddpm.onnx", "--data", tmp_path, "--port", "0", "--runtime", "tract")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "tract cannot load it: it samples by a plan" in done.stderr
