"""Plans run backwards, against diffusers' inverse scheduler, exact algebra and the way there and back of real files."""

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler

from jaxgen.inference.model import Model
from jaxgen.latent.inversion import invert, reverse, reversible
from jaxgen.latent.spaces import Noises
from jaxgen.sampling import plan as plans
from jaxgen.sampling.plan import COLUMNS

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
ROUND_TRIP = {"unconditional": 0.02, "conditional": 0.02, "flow": 0.02}  # of [-1, 1], mean


def network(x, t):
    """Something smooth that depends on both."""
    return np.tanh(0.7 * x + t / 1000)


def no_noise(noise_index):
    raise AssertionError("a reversed plan samples nothing")


def test_reverse_of_ddim_is_diffusers_inverse_scheduler():
    """For eps; for v diffusers mixes the level that x has with the one that the network is told."""
    inverse = DDIMInverseScheduler(
        num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, clip_sample=False, timestep_spacing="trailing"
    )  # fmt: skip
    inverse.set_timesteps(50)
    x = want = np.random.default_rng(1).standard_normal((2, 4, 4, 1))
    for t in inverse.timesteps:
        out = torch.tensor(network(want, float(t)))
        want = inverse.step(out, int(t), torch.tensor(want)).prev_sample.numpy()
    table = plans.make_plan(plans.alpha_bar("linear", 1000), sampler="ddim", steps=50)
    found, _ = plans.run(reverse(table), x, network, no_noise)
    np.testing.assert_allclose(found, want, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("prediction", ["eps", "v", "edm"])
def test_reversed_plan_undoes_a_network_that_looks_at_the_time_alone(prediction):
    """Where the network does not look at x, nothing is approximated."""
    table = plans.make_plan(
        plans.alpha_bar("cosine", 100), sampler="ddim", steps=20, prediction=prediction, clip=np.inf
    )
    _there_and_back(table)


def test_reversed_plan_undoes_a_flow():
    _there_and_back(plans.euler(7, 1000.0))


def _there_and_back(table):
    start = np.random.default_rng(2).standard_normal((2, 3, 3, 1))
    by_time = lambda x, t: np.full_like(x, np.cos(t))  # noqa: E731
    image, _ = plans.run(table, start, by_time, no_noise)
    back, _ = plans.run(reverse(table), image, by_time, no_noise)
    np.testing.assert_allclose(back, start, atol=1e-3)


def test_row_that_keeps_nothing_of_x_is_left_out():
    table = plans.make_plan(plans.alpha_bar("linear", 100), sampler="ddim", steps=10, prediction="x0")
    assert len(reverse(table)) == 9
    assert reverse(table)[0, 0] == table[-2, 0]


def test_plans_with_noise_or_memory_are_not_reversible():
    kept = plans.alpha_bar("linear", 100)
    assert reversible(plans.make_plan(kept, sampler="ddim", steps=10))
    assert not reversible(plans.make_plan(kept, sampler="ddim", steps=10, eta=0.1))
    assert not reversible(plans.make_plan(kept, sampler="ancestral", steps=10))
    assert not reversible(plans.make_plan(kept, sampler="dpmpp-2m", steps=10))


@pytest.fixture
def file(request, family):
    return request.param, family(request.param) if request.param == "flow" else request.getfixturevalue(request.param)


@pytest.mark.parametrize("file", ROUND_TRIP, indirect=True)
def test_images_come_back_from_their_noise_with_many_steps(file):
    name, exported = file
    space = Noises(Model.open(exported.onnx), steps=50, refine=2, exact=True)
    images = np.repeat(IMAGES, space.model.shape[2], axis=-1)
    label = space.labels(3, "bee" if space.model.classes else None)
    noise = space.encode(images, label)
    assert (noise.shape, noise.dtype) == (images.shape, np.float32)
    again = space.decode(noise, label)
    assert np.abs(again.astype(float) - images).mean() / 127.5 < ROUND_TRIP[name]


def test_refining_brings_images_nearer(unconditional):
    model = Model.open(unconditional.onnx)
    space = Noises(model, steps=10, exact=True)
    errors = []
    for refine in (0, 1, 3):
        noise = invert(model, IMAGES, space.plan, refine=refine)
        errors.append(np.abs(space.decode(noise, None).astype(float) - IMAGES).mean())
    assert errors[0] > errors[1] > errors[2]


def test_first_pass_is_the_reversed_plan_in_one_call(unconditional):
    from jaxgen.images import to_unit

    model = Model.open(unconditional.onnx)
    table = model.plan(sampler="ddim", steps=5, eta=0)
    x, zero = to_unit(IMAGES), np.zeros(3, int)
    _, state = model.sample(zero, zero, plan=reverse(table), state=np.stack([x, x]))
    np.testing.assert_allclose(invert(model, IMAGES, table), state[0], atol=1e-4)
    assert not reverse(table)[:, COLUMNS.index("x0_prev")].any()
