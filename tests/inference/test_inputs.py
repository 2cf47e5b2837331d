"""What `Model.sample` takes: every odd way to write good values, and one UsageError for each bad one."""

import inspect
import threading
import warnings

import numpy as np
import onnxruntime
import pytest
from golden import calls

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.model import Model
from jaxgen.inference.predictor import Predictor

FORMAT_2 = calls.HERE / "format2"
PLAN = Model.open(FORMAT_2 / "cddpm.onnx").plan(steps=2)


@pytest.fixture(scope="module")
def model():
    """model(name): that golden file."""
    loaded = {name: Model.open(FORMAT_2 / f"{name}.onnx") for name in calls.SAMPLERS}
    return loaded.__getitem__


@pytest.fixture(autouse=True)
def nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- what is meant, however it is written

SEEDS = np.array([3, 2**32 - 1, 0])
WAYS = {
    **{dtype: SEEDS.astype(dtype) for dtype in ("uint32", "int64", "uint64", ">i8", "<i8", ">u4")},
    "list": SEEDS.tolist(),
    "tuple": tuple(SEEDS.tolist()),
    "NumPy scalars": list(SEEDS),
    "non-contiguous": np.repeat(SEEDS, 3)[::3],
    "reversed": SEEDS[::-1].copy()[::-1],
    "column": np.asfortranarray(np.stack([SEEDS, SEEDS]))[1],
}


@pytest.mark.parametrize("seeds", WAYS.values(), ids=WAYS)
def test_seed_may_be_any_integers(model, seeds):
    images, state = model("cddpm").sample(seeds, [0, 1, 2], label=[0, 1, -1], plan=PLAN)
    feeds = {"seed": SEEDS.astype(np.int64), "index": np.arange(3), "label": np.array([0, 1, -1]), "plan": PLAN}
    raw = onnxruntime.InferenceSession((FORMAT_2 / "cddpm.onnx").read_bytes())
    for found, want in zip((images, state), raw.run(["images", "state_out"], feeds), strict=True):
        np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", ">i2", "uint16", "int32"])
def test_small_integers_do_for_small_numbers(model, dtype):
    numbers = np.array([1, 2]).astype(dtype)
    want = model("cddpm").sample([1, 2], [1, 2], label=[1, 2], plan=PLAN)[0]
    found = model("cddpm").sample(numbers, numbers, label=numbers, plan=PLAN)[0]
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize(
    "scale", [2, 2.0, np.float32(2), np.float64(2), np.int64(2), np.array(2.0), np.float16(2)], ids=repr
)
def test_guidance_may_be_any_number(model, scale):
    want = model("cddpm").sample([1], [1], label=[1], plan=PLAN, guidance=2.0)[0]
    np.testing.assert_array_equal(model("cddpm").sample([1], [1], label=[1], plan=PLAN, guidance=scale)[0], want)


@pytest.mark.parametrize("scale", [0, 0.0, 100, 100.0])
def test_guidance_may_be_at_its_limits(model, scale):
    assert model("cddpm").sample([1], [1], label=[1], plan=PLAN, guidance=scale)[0].any()


@pytest.mark.parametrize("layout", ["list", "float64", "F", ">f4", "non-contiguous"])
def test_plan_state_and_latent_may_be_any_real_numbers(model, layout):
    def written(values):
        return {
            "list": lambda: values.tolist(),
            "float64": lambda: values.astype(np.float64),
            "F": lambda: np.asfortranarray(values),
            ">f4": lambda: values.astype(">f4"),
            "non-contiguous": lambda: np.repeat(values, 2, axis=-1)[..., ::2],
        }[layout]()

    diffusion, vae = model("cddpm"), model("vae")
    state = np.random.default_rng(0).standard_normal((2, 2, 8, 8, 1), np.float32)
    want = diffusion.sample([1, 2], [1, 2], label=[1, 2], plan=PLAN, state=state)
    found = diffusion.sample([1, 2], [1, 2], label=[1, 2], plan=written(PLAN), state=written(state))
    np.testing.assert_array_equal(found[0], want[0])
    latent = calls.latents(3)
    want = vae.sample([0] * 4, [0] * 4, label=[0, 1, 2, 0], latent=latent)
    np.testing.assert_array_equal(vae.sample([0] * 4, [0] * 4, label=[0, 1, 2, 0], latent=written(latent))[0], want[0])


def test_whole_numbers_do_for_a_latent(model):
    want = model("vae").sample([0], [0], latent=np.array([[1.0, 0.0, -1.0]]))[0]
    np.testing.assert_array_equal(model("vae").sample([0], [0], latent=[[1, 0, -1]])[0], want)


# --- what cannot be meant

RAGGED = [[1.0], [1.0, 2.0]]
STATE = np.zeros((2, 1, 8, 8, 1))
GOOD = {
    "cddpm": {"seed": [0], "index": [0], "label": [0], "plan": PLAN},
    "ddpm": {"seed": [0], "index": [0]},
    "vae": {"seed": [0], "index": [0], "label": [0]},
}
NUMBERS = {  # for seed and index alike
    "bool": ([True], "must be integers of at most 64 bits, got bool"),
    "float": ([1.0], "must be integers"),
    "object": ([object()], "must be integers of at most 64 bits, got object"),
    "beyond int64": ([2**70], "must be integers of at most 64 bits"),
    "None": (None, "must be integers"),
    "text": ("1", "must be integers"),
    "complex": ([1j], "must be integers"),
    "ragged": (RAGGED, "must be an array of numbers"),
    "scalar": (3, "must be one number for each image"),
    "0-d": (np.array(3), "must be one number for each image"),
    "2-d": ([[0]], "must be one number for each image"),
    "empty": (np.zeros(0, int), "must be one number for each image"),
    "negative": ([-1], "must be from 0 to 4294967295, got -1"),
    "too large": ([2**32 + 3], "must be from 0 to 4294967295, got 4294967299"),
}
WRONG = {
    **{f"{name} {kind}": ("cddpm", {name: value}, f"{name} {want}") for name in ("seed", "index")
       for kind, (value, want) in NUMBERS.items()},
    "seeds for one index": ("cddpm", {"seed": [1, 2]}, "index must have the shape (2,), got (1,)"),
    "indices for one seed": ("cddpm", {"index": [1, 4]}, "index must have the shape (1,), got (2,)"),
    "label beyond the classes": ("cddpm", {"label": [10]}, "label must be from -1 to 2, got 10"),
    "label below -1": ("cddpm", {"label": [-5]}, "label must be from -1 to 2, got -5"),
    "no class of a model that must have one": ("vae", {"label": [-1]}, "label must be from 0 to 2, got -1"),
    "label of a model without": ("ddpm", {"label": [0]}, "is unconditional: it takes no label"),
    "ragged label": ("cddpm", {"label": RAGGED}, "label must be an array of numbers"),
    "ragged label of a model without": ("ddpm", {"label": RAGGED}, "label must be an array of numbers"),
    "text as the label of a model without": ("ddpm", {"label": "x"}, "label must be integers"),
    "label as a word": ("cddpm", {"label": ["ant"]}, "label must be integers"),
    "label as bool": ("cddpm", {"label": [True]}, "label must be integers"),
    "guidance that float32 does not hold": ("cddpm", {"guidance": 1e39}, "guidance must be from 0 to 100, got 1e+39"),
    "guidance below 0": ("cddpm", {"guidance": -3}, "guidance must be from 0 to 100, got -3"),
    "guidance without end": ("cddpm", {"guidance": 1e30}, "guidance must be from 0 to 100, got 1e+30"),
    "guidance of nothing": ("cddpm", {"guidance": np.nan}, "guidance must be from 0 to 100, got nan"),
    "guidance as text": ("cddpm", {"guidance": "1"}, "guidance must be one number, got '1'"),
    "guidance that is complex": ("cddpm", {"guidance": 1j}, "guidance must be one number, got 1j"),
    "guidance as bool": ("cddpm", {"guidance": True}, "guidance must be one number, got True"),
    "guidance for each": ("cddpm", {"guidance": np.ones(4)}, "guidance must be one number, got array([1."),
    "guidance that is ragged": ("cddpm", {"guidance": RAGGED}, "guidance must be an array of numbers"),
    "guidance of a model without": ("ddpm", {"guidance": 1.0}, "is unconditional: it takes no guidance"),
    "guidance of a VAE": ("vae", {"guidance": 1.0}, "it has no plan, steps or guidance"),
    "state as text": ("cddpm", {"state": "x"}, "state must be real numbers, got <U1"),
    "state that is ragged": ("cddpm", {"state": RAGGED}, "state must be an array of numbers"),
    "state that is complex": ("cddpm", {"state": STATE + 1j}, "state must be real numbers"),
    "state of objects": ("cddpm", {"state": [object()]}, "state must be real numbers, got object"),
    "state of another shape": ("cddpm", {"state": np.zeros((2, 1, 8, 8))}, "state must have the shape (2, 1, 8, 8, 1)"),
    "state that float32 does not hold": ("cddpm", {"state": STATE + 1e39}, "state must be finite float32 numbers"),
    "state of nothing": ("cddpm", {"state": STATE + np.nan}, "state must be finite float32 numbers"),
    "state of a VAE": ("vae", {"state": STATE}, "it has no plan"),
    "latent as text": ("vae", {"latent": "x"}, "latent must be real numbers, got <U1"),
    "latent that is ragged": ("vae", {"latent": RAGGED}, "latent must be an array of numbers"),
    "latent that is complex": ("vae", {"latent": np.zeros((1, 3), complex)}, "latent must be real numbers, got comp"),
    "latents for one seed": ("vae", {"latent": np.zeros((2, 3))}, "latent must have the shape (1, 3), got (2, 3)"),
    "latent of another length": ("vae", {"latent": np.zeros((1, 4))}, "latent must have the shape (1, 3), got (1, 4)"),
    "latent without end": ("vae", {"latent": [[0, np.inf, 0]]}, "latent must be finite float32 numbers"),
    "latent that float32 does not hold": ("vae", {"latent": [[0, 1e39, 0]]}, "latent must be finite float32 numbers"),
    "latent of a model with a plan": ("cddpm", {"latent": np.zeros((1, 3))}, "samples by a plan: it takes a state"),
    "plan that is complex": ("cddpm", {"plan": PLAN + 0j}, "a plan is an array of numbers, 9 to a row: got complex"),
    "plan as text": ("cddpm", {"plan": "ddim"}, "a plan is an array of numbers, 9 to a row: got <U4"),
    "plan of numbers as text": ("cddpm", {"plan": [["1"] * 9]}, "a plan is an array of numbers, 9 to a row: got <U1"),
    "plan that is ragged": ("cddpm", {"plan": RAGGED}, "a plan is an array of numbers, 9 to a row: "),
    "plan of no rows": ("cddpm", {"plan": np.zeros((0, 9))}, "a plan has 1 to 100000 rows of 9 columns"),
    "plan of NaN": ("cddpm", {"plan": np.full((1, 9), np.nan)}, "plan row 0: t must be a finite number, got nan"),
    "plan of a VAE": ("vae", {"plan": PLAN}, "it has no plan"),
    "deadline as text": ("cddpm", {"deadline": "1"}, "deadline must be a number of seconds or None, got '1'"),
    "deadline for each": ("cddpm", {"deadline": [1, 2]}, "deadline must be a number of seconds or None, got [1, 2]"),
    "deadline of nothing": ("cddpm", {"deadline": np.nan}, "deadline must be a number of seconds or None, got nan"),
    "deadline as bool": ("cddpm", {"deadline": True}, "deadline must be a number of seconds or None, got True"),
    "complex deadline": ("vae", {"deadline": 1j}, "deadline must be a number of seconds or None, got 1j"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "complaint"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_one_usage_error(model, name, change, complaint):
    sampler = model(name)
    sampler.sample(**GOOD[name])
    with pytest.raises(UsageError) as refused:
        sampler.sample(**{**GOOD[name], **change})
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 250


def test_guidance_at_its_default_is_none(model):
    assert model("cddpm").sample(**GOOD["cddpm"], guidance=None)[0].any()


# --- deadlines


@pytest.mark.parametrize(
    "deadline", [None, np.inf, 1e300, threading.TIMEOUT_MAX, np.float32(60), 60, np.array(60)], ids=repr
)
def test_deadline_that_never_comes_is_none(model, deadline):
    assert model("vae").sample([0], [0], deadline=deadline)[0].any()
    reader = Predictor.open(FORMAT_2 / "classifier.onnx")
    assert reader.read(np.zeros((1, 8, 8, 1), np.uint8), deadline=deadline)


def test_deadline_of_a_reader_is_checked_as_well():
    with pytest.raises(UsageError, match="deadline must be a number of seconds"):
        Predictor.open(FORMAT_2 / "classifier.onnx").read(np.zeros((1, 8, 8, 1), np.uint8), deadline="soon")


@pytest.mark.parametrize("deadline", [0, -1, -np.inf])
def test_deadline_that_has_passed_stops_the_run(model, deadline):
    with pytest.raises(JaxgenError, match="stopped after"):
        model("ddpm").sample(np.zeros(64, int), np.arange(64), plan=np.repeat(PLAN, 1000, axis=0), deadline=deadline)


# --- a label out of range, by every way in


@pytest.mark.parametrize("label", [3, 10, -2, -5, 1.5, "wasp", None])
def test_label_that_there_is_not_is_refused_by_every_way_in(model, label):
    diffusion = model("cddpm")
    ways = {
        "draw": lambda: diffusion.sample([0], [0], label=[label]),
        "feeds": lambda: diffusion.feeds([0], [0], label=[label]),
        "stream": lambda: next(diffusion.stream(1, label=label, plan=PLAN)),
        "frames": lambda: next(diffusion.frames(1, 2, label=label, plan=PLAN)),
    }
    for name, way in ways.items():
        with pytest.raises(UsageError, match="label must be") as refused:
            way()
        assert "\n" not in str(refused.value), name


@pytest.mark.parametrize("label", [0, 3, -2, "all", "x"])
def test_model_without_classes_takes_no_label_by_any_way_in(model, label):
    plain = model("ddpm")
    for way in (
        lambda: next(plain.stream(1, label=label, plan=PLAN)),
        lambda: next(plain.frames(1, 2, label=label, plan=PLAN)),
        lambda: plain.labels(label, np.arange(2)),
        lambda: plain.sample([0], [0], label=[label]),
    ):
        with pytest.raises(UsageError, match=r"is unconditional|label must be integers"):
            way()
    assert plain.labels(-1, np.arange(2)) is None


def test_model_that_must_have_a_class_refuses_none_by_every_way_in(model):
    vae = model("vae")
    for way in (lambda: next(vae.stream(1)), lambda: vae.sample([0], [0], label=[-1]), lambda: vae.label(None)):
        with pytest.raises(UsageError, match="label must be"):
            way()


def test_every_input_is_tried_here():
    given = {key for _, change, _ in WRONG.values() for key in change}
    assert given == set(inspect.signature(Model.feeds).parameters) - {"self"} | {"deadline"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_one_line(monkeypatch, value):
    reader = Predictor.open(FORMAT_2 / "classifier.onnx")
    outputs = [np.full((1, 4), value, np.float32) for _ in reader.outputs]
    monkeypatch.setattr(type(reader.session), "run", lambda *_: outputs)
    with pytest.raises(JaxgenError, match=r"classifier\.onnx: gives NaN or infinity; its weights have diverged"):
        reader.read(np.zeros((1, 8, 8, 1), np.uint8))
