"""The latent tools through the engine, against themselves on the model's files."""

import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import pytest

from jaxgen.errors import UsageError
from jaxgen.inference.model import Model
from jaxgen.latent.anomaly import score
from jaxgen.latent.inpainting import inpaint
from jaxgen.latent.spaces import open_space
from jaxgen_serve.batching.client import Caller, queued, space
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.batching.requests import Late
from jaxgen_serve.models.registry import Library, ServedModel

SOON = 30


@pytest.fixture
def engine():
    made = Engine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def vae(family) -> ServedModel:
    return Library([family("vae").onnx]).get(None)


@pytest.fixture(scope="module")
def classy(conditional) -> ServedModel:
    return Library([conditional.onnx]).get(None)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 8, 8, 1), np.uint8)


def test_model_looks_as_it_does_without_the_engine(engine, classy, conditional):
    seen, want = queued(classy, Caller(engine, SOON)), Model.open(conditional.onnx)
    assert (seen.shape, seen.classes, seen.least_label, seen.untrained) == (
        want.shape, want.classes, want.least_label, want.untrained,
    )  # fmt: skip
    assert seen.label("bee") == 2
    for found, right in zip(seen.stream(5, seed=3, batch_size=2), want.stream(5, seed=3, batch_size=2), strict=True):
        np.testing.assert_array_equal(found, right)
    frames = [model.frames(2, 4, seed=3, plan=want.plan()) for model in (seen, want)]
    for found, right in zip(*frames, strict=True):
        np.testing.assert_array_equal(found, right)


def test_codes_and_scores_are_those_of_the_files(engine, vae, family, images):
    here, want = space(vae, Caller(engine, SOON)), open_space(family("vae").onnx)
    labels = want.labels(70, "ant")
    np.testing.assert_array_equal(here.encode(images, labels), want.encode(images, labels))
    latents = want.of_seed(5, np.arange(70))
    np.testing.assert_array_equal(here.decode(latents, labels), want.decode(latents, labels))
    np.testing.assert_allclose(score(here.codes(), images, labels).total, score(want.codes(), images, labels).total)


def test_noise_of_a_diffusion_model_is_that_of_the_file(engine, classy, conditional):
    here, want = (
        space(classy, Caller(engine, SOON), steps=4, exact=True),
        open_space(conditional.onnx, steps=4, exact=True),
    )
    latents, labels = want.of_seed(5, np.arange(3)), np.array([0, 1, -1])
    images = want.decode(latents, labels)
    np.testing.assert_array_equal(here.decode(latents, labels), images)
    np.testing.assert_allclose(here.encode(images, labels), want.encode(images, labels), atol=1e-4)


def test_inpainting_is_that_of_the_file(engine, classy, conditional):
    want = Model.open(conditional.onnx)
    image, unknown = want.sample([1], [1])[0][0], np.zeros((8, 8), bool)
    unknown[4:] = True
    what = {"seed": 3, "index": np.arange(2), "label": np.array([1, 1]), "resample": 2}
    plan = want.plan(steps=5)
    found = inpaint(queued(classy, Caller(engine, SOON)), image, unknown, plan, **what)
    np.testing.assert_array_equal(found, inpaint(want, image, unknown, plan, **what))


def test_model_without_a_plan_takes_no_steps_and_without_an_encoder_reads_nothing(engine, vae):
    caller = Caller(engine, SOON)
    with pytest.raises(UsageError, match="samples in one evaluation: it takes no steps"):
        space(vae, caller, steps=3)
    blind = ServedModel(name="blind", model=vae.model, encoder=None, path=vae.path, size=vae.size)
    with pytest.raises(UsageError, match="has no encoder") as caught:
        space(blind, caller).encode(np.zeros((1, 8, 8, 1), np.uint8), None)
    assert str(vae.path.parent) not in str(caught.value)


def test_all_calls_of_a_request_share_its_deadline(engine, classy):
    model, begin = queued(classy, Caller(engine, 0.5)), time.monotonic()
    with pytest.raises(Late):
        while time.monotonic() < begin + SOON:
            model.sample([0], [0])
    assert time.monotonic() - begin < 5
    with pytest.raises(Late):
        queued(classy, Caller(engine, SOON)).sample(
            [0] * 64, np.arange(64), plan=np.repeat(classy.model.plan(), 999, 0), deadline=0.1
        )


def test_later_calls_of_a_request_go_before_those_of_younger_ones(engine, classy):
    gate = threading.Event()
    caller = Caller(engine, SOON)
    held = engine.call(gate.wait, deadline=SOON)
    young = engine.sample(classy, [0], [0], plan=np.repeat(classy.model.plan(), 9999, axis=0), deadline=300)
    threading.Timer(0.3, gate.set).start()
    queued(classy, caller).sample([1], [0])  # it would be Late behind the other one
    assert held.result()
    assert not young.future.done()
    young.cancel()


def test_client_that_leaves_ends_the_call_that_runs_and_every_later_one(engine, classy):
    caller = Caller(engine, 300)
    model, long = queued(classy, caller), np.repeat(classy.model.plan(), 9999, axis=0)
    threading.Timer(0.3, caller.cancel).start()
    begin = time.monotonic()
    for _ in range(2):
        with pytest.raises(CancelledError):
            model.sample([0] * 64, np.arange(64), plan=long)
    with pytest.raises(CancelledError):
        space(classy, caller).decode(np.zeros((1, *classy.model.shape), np.float32), np.array([0]))
    assert time.monotonic() - begin < SOON
    assert engine.depth == 0
