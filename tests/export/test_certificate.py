"""The certificate: what is in it, that it is true, and that it is refused where a backend is wrong."""

import itertools

import numpy as np
import onnxruntime
import pytest
import torch

from jaxgen.errors import JaxgenError
from jaxgen.images import to_uint8
from jaxgen.inference.model import Model
from jaxgen.inference.tensors import decode_images
from jaxgen.inference.verify import worst
from jaxgen.models import network, sampling
from jaxgen.sampling import plan as plans, sampler_spec
from jaxgen_export import certificate, runtimes, torch_models, torchscript, weight_mapping
from jaxgen_export.export import OutputPaths, export_model

BACKENDS = ["onnxruntime", "pytorch", "torchscript"]


def keys(rows, *names):
    return sorted(tuple(row[name] for name in names) for row in rows)


# --- what is in it


def test_certificate_compares_each_backend_on_each_input_and_batch(model):
    steps = model.config.diffusion.steps
    held = model.manifest["certificate"]
    assert keys(held["evaluation"], "backend", "input", "batch") == sorted(
        itertools.product(BACKENDS, ["constant", "random"], [1, 2, 7])
    )
    guided = [(backend, "ddim-50", "noise", 7, 2.0) for backend in BACKENDS] if model.classes else []
    found = [
        tuple(row[name] for name in ("backend", "plan", "start", "batch", "guidance")) for row in held["trajectories"]
    ]
    assert sorted(found, key=str) == sorted(
        [
            *itertools.product(BACKENDS, ["ddim-50"], ["constant", "noise"], [1, 2, 7], [None]),
            *itertools.product(BACKENDS, ["dpmpp-2m-20", f"ancestral-{steps}"], ["noise"], [7], [None]),
            *guided,
        ],
        key=str,
    )
    assert set(held["packages"]) == {"jax", "torch", "onnx", "onnxruntime", "numpy"}
    assert set(held["machine"]) == {"platform", "cpu", "python"}
    default = onnxruntime.SessionOptions().graph_optimization_level.name  # levels below give other last bits
    assert held["onnxruntime"] == {"optimization": default} == {"optimization": "ORT_ENABLE_ALL"}
    assert held["limits"] == {"evaluation_relative": 1e-4, "identical": 0.995, "off_by": 2}


def test_certified_distances_are_within_what_is_promised(model):
    held = model.manifest["certificate"]
    for row in held["evaluation"]:
        assert 0 <= row["relative"] <= 1e-4
        assert row["absolute"] >= 0
    for row in held["trajectories"]:
        assert row["identical"] >= 0.995
        assert row["off_by"] <= 2
        assert {"absolute", "relative"} <= set(row)
    # Measured, and not typed in: three runtimes do not agree to the last bit everywhere.
    assert any(row["absolute"] > 0 for row in held["evaluation"])


def test_probe_is_what_jax_samples(model):
    config, probe = model.config, model.manifest["certificate"]["probe"]
    assert len(probe["index"]) == 8
    if model.classes:
        assert set(probe["label"]) == {0, 1, 2}
    drawn = sampling.run_plan(
        network.build(config).apply, model.params, sampler_spec.from_config(config.diffusion),
        np.full(8, probe["seed"], np.uint32), np.asarray(probe["index"], np.uint32),
        np.asarray(probe["label"], np.int32), shape=(8, 8, config.data.channels),
        guidance=config.diffusion.guidance,
    )  # fmt: skip
    np.testing.assert_array_equal(decode_images(probe["images"]), to_uint8(drawn))


# --- whole trajectories, measured here once more


@pytest.mark.slow
def test_1000_steps_of_ddpm_sample_the_same_images_on_every_runtime(unconditional):
    """T = 1000, whatever the model was trained for: the errors of a thousand evaluations add up."""
    config = unconditional.config
    plan = plans.make_plan(plans.alpha_bar("linear", 1000), sampler="ancestral", steps=1000)
    index, seed = np.arange(4), np.full(4, 11)
    drawn = sampling.run_plan(
        network.build(config).apply, unconditional.params, plan, seed.astype(np.uint32), index.astype(np.uint32),
        np.full(4, -1, np.int32), shape=(8, 8, 1),
    )  # fmt: skip
    want = to_uint8(np.asarray(drawn))
    assert ((want > 0) & (want < 255)).mean() > 0.2  # images, not black and white

    twin = torch_models.build(config)
    weight_mapping.load_into(twin, unconditional.params)
    eager = torchscript.sampler(twin, config)
    with torch.inference_mode():
        by_torch = eager(torch.from_numpy(seed), torch.from_numpy(index), torch.from_numpy(plan))[0].numpy()
        by_script = torch.jit.load(unconditional.torchscript)(
            torch.from_numpy(seed), torch.from_numpy(index), torch.from_numpy(plan)
        )[0].numpy()
    by_onnxruntime, _ = Model.open(unconditional.onnx).sample(seed, index, plan=plan)
    for found in (by_torch, by_script, by_onnxruntime):
        difference = np.abs(found.astype(int) - want)
        assert (difference == 0).mean() >= 0.995
        assert difference.max() <= 2


# --- refusals


class Fake:
    """A backend of two lines of NumPy, off by so much."""

    def __init__(self, evaluation=0.0, images=lambda x: x):
        self.evaluation, self.images = evaluation, images

    def evaluate(self, x, t, label):
        return [np.tanh(x) + np.float32(self.evaluation)]

    def sample(self, index, label, plan=None, start=None, guidance=None):
        grid = np.linspace(-0.9, 0.9, 64, dtype=np.float32).reshape(8, 8, 1)
        x = self.images(np.stack([np.roll(grid, i) for i in index]))
        return to_uint8(x), x


def level(shift, pixels):
    """So many pixels of each image, moved by so many levels of 255."""

    def change(x):
        changed = x.copy()
        changed.reshape(len(x), -1)[:, :pixels] += shift / 127.5
        return changed

    return change


def measure(unconditional, other):
    return certificate.measure(Fake(), {"good": Fake(), "other": other}, unconditional.config)


def test_equal_backends_are_certified(unconditional):
    held = measure(unconditional, Fake())
    assert worst(held)["other"] == {"relative": 0, "identical": 1, "off_by": 0}


def test_measured_distances_are_those_that_were_put_in(unconditional):
    held = measure(unconditional, Fake(evaluation=2e-5))
    rows = [row for row in held["evaluation"] if row["backend"] == "other" and row["input"] == "constant"]
    for row in rows:  # constants run from -1 to 1, and tanh of 1 is the largest value
        assert row["absolute"] == pytest.approx(2e-5, rel=0.01)
        assert row["relative"] == pytest.approx(2e-5 / np.tanh(1), rel=0.01)
    assert {row["absolute"] for row in held["evaluation"] if row["backend"] == "good"} == {0.0}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (Fake(evaluation=3e-4), "other differs from JAX: relative error"),
        (Fake(evaluation=np.nan), "other differs from JAX: relative error nan"),
        (Fake(images=level(3, 64)), "other does not reproduce JAX's images: 0.00% of pixels"),
        (Fake(images=level(1, 1)), "other does not reproduce JAX's images: 98.44% of pixels"),  # one pixel of 64
        (Fake(images=lambda x: x * np.nan), "NaN"),
    ],
    ids=["evaluation", "nan", "off by three", "one pixel in 64", "nan images"],
)
def test_backend_beyond_a_limit_is_refused(unconditional, wrong, complaint):
    with pytest.raises(JaxgenError) as caught:
        measure(unconditional, wrong)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_worst_is_the_largest_error_of_each_kind():
    held = {
        "evaluation": [{"backend": "a", "relative": r} for r in (1e-6, 3e-6, 2e-6)],
        "trajectories": [{"backend": "a", "identical": i, "off_by": o} for i, o in ((1.0, 0), (0.997, 1), (0.999, 2))],
    }
    assert worst(held) == {"a": {"relative": 3e-6, "identical": 0.997, "off_by": 2}}


def test_wrong_twin_is_refused_and_nothing_is_written(unconditional, monkeypatch, tmp_path):
    load = weight_mapping.load_into

    def load_wrongly(twin, params):
        load(twin, params)
        twin.conv_out.bias += 0.01

    monkeypatch.setattr(weight_mapping, "load_into", load_wrongly)
    with pytest.raises(JaxgenError, match="differs from JAX"):
        beside = OutputPaths(
            torchscript=tmp_path / "m.ts", safetensors=tmp_path / "w.safetensors", torch=tmp_path / "w.pth"
        )
        export_model(unconditional.config, unconditional.params, tmp_path / "m.onnx", beside=beside)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_diverged_weights_are_refused_and_nothing_is_written(unconditional, tmp_path):
    params = unconditional.params | {"conv_out.bias": np.full(1, np.nan, np.float32)}
    with pytest.raises(JaxgenError):
        export_model(unconditional.config, params, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_reference_that_fills_batches_up_gives_what_it_gives_of_each_batch(conditional):
    plain, filled = (runtimes.Jax(conditional.params, conditional.config, rows) for rows in (None, 5))
    rng, one_row = np.random.default_rng(0), sampler_spec.from_config(conditional.config)[:1]
    for count in (3, 6):
        x, label = rng.standard_normal((count, 8, 8, 3), np.float32), np.arange(count) % 4 - 1
        t = np.linspace(0, 49, count).round().astype(np.float32)
        (want,), (given,) = plain.evaluate(x, t, label), filled.evaluate(x, t, label)
        assert given.shape == want.shape == x.shape
        np.testing.assert_allclose(given, want, atol=1e-5 * np.abs(want).max())
    for start in (None, rng.standard_normal((3, 8, 8, 3), np.float32)):
        how = {"plan": one_row, "start": start}
        want, given = (one.sample(np.array([4, 9, 2]), np.array([0, 1, 2]), **how) for one in (plain, filled))
        assert want[0].shape == given[0].shape == (3, 8, 8, 3)
        assert np.abs(want[0].astype(int) - given[0]).max() <= 1
