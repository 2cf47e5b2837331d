"""The plan run in stretches, with noise from NumPy, against `jaxgen.sampling.plan.run` in one go."""

import numpy as np
import pytest

from jaxgen.images import to_uint8
from jaxgen.inference.outside import Outside
from jaxgen.inference.session import Stop
from jaxgen.sampling import plan as plans
from jaxgen.sampling.plan import COLUMNS
from jaxgen.sampling.prng import image_noise

SHAPE = (3, 2, 1)
SEED, INDEX = np.array([5, 2**32 - 1]), np.array([0, 2**31])
DEFAULTS = {"plan": np.zeros((1, 9), np.float32), "state": np.zeros((2, 0, *SHAPE), np.float32)}


def table(rows: int, noisy: tuple[int, ...]) -> np.ndarray:
    """Random coefficients, noise in some rows, and every row with a draw of its own."""
    plan = np.random.default_rng(rows).uniform(-1, 1, (rows, 9)).astype(np.float32)
    plan[:, COLUMNS.index("clip")] = 0.8
    plan[:, COLUMNS.index("noise")] = [0.3 if row in noisy else 0 for row in range(rows)]
    plan[:, COLUMNS.index("noise_index")] = 3 * np.arange(rows) + 1
    return plan


class Graph:
    """A runtime whose network doubles x and adds t. It notes what it was asked, and cannot make noise."""

    def __init__(self, noise=None):
        self.calls, self.noise = [], noise

    def __call__(self, outputs, feeds):
        self.calls.append(feeds["plan"])
        x, x0 = feeds["state"] if feeds["state"].size else (image_noise(SEED, INDEX, 0, SHAPE), None)
        x, x0 = plans.run(feeds["plan"], x, lambda x, t: 2 * x + t, self.noise or (lambda sample: np.nan * x), x0)
        found = {"images": to_uint8(np.nan_to_num(x)), "state_out": np.stack([x, x0])}
        return [found[name] for name in outputs]


def noise(sample):
    return image_noise(SEED, INDEX, sample, SHAPE)


PLANS = {"none": (9, ()), "each": (5, range(5)), "some": (9, (0, 4, 5)), "last": (4, (3,)), "one row": (1, (0,))}


@pytest.mark.parametrize(("rows", "noisy"), PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("most", [1, 3, 100])
@pytest.mark.parametrize("own_noise", [True, False])
def test_stretches_give_what_the_whole_plan_gives(rows, noisy, most, own_noise):
    graph, plan = Graph(noise if own_noise else None), table(rows, tuple(noisy))
    work = Outside(graph, DEFAULTS, rows=most, noise_shape=None if own_noise else SHAPE)
    images, state = work(["images", "state_out"], {"seed": SEED, "index": INDEX, "plan": plan}, Stop())
    x, x0 = plans.run(plan, noise(0), lambda x, t: 2 * x + t, noise)
    np.testing.assert_allclose(state, np.stack([x, x0]), rtol=1e-6)
    np.testing.assert_array_equal(images, to_uint8(x))
    assert sum(map(len, graph.calls)) == rows and max(map(len, graph.calls)) <= most


def test_state_that_is_given_is_gone_on_from_and_the_files_own_plan_is_the_default():
    graph, plan, start = Graph(), table(4, (1,)), np.ones((2, 2, *SHAPE), np.float32)
    work = Outside(graph, {**DEFAULTS, "plan": plan}, rows=10, noise_shape=SHAPE)
    (state,) = work(["state_out"], {"seed": SEED, "index": INDEX, "state": start}, Stop())
    want = plans.run(plan, start[0], lambda x, t: 2 * x + t, noise, start[1])
    np.testing.assert_allclose(state, np.stack(want), rtol=1e-6)


def test_plan_of_the_caller_is_left_as_it_was():
    plan = table(3, (0, 1, 2))
    before = plan.copy()
    Outside(Graph(), DEFAULTS, noise_shape=SHAPE)(["images"], {"seed": SEED, "index": INDEX, "plan": plan}, Stop())
    np.testing.assert_array_equal(plan, before)


@pytest.mark.parametrize("latent", [None, np.full((2, 3), 0.5, np.float32)])
def test_latent_is_the_seeds_own_unless_one_is_given(latent):
    def infer(outputs, feeds):
        return [feeds["latent"]]

    work = Outside(infer, {"latent": np.zeros((0, 3), np.float32)}, noise_shape=(3,))
    given = {} if latent is None else {"latent": latent}
    (found,) = work(["images"], {"seed": SEED, "index": INDEX, **given}, Stop())
    np.testing.assert_array_equal(found, image_noise(SEED, INDEX, 0, (3,)) if latent is None else latent)


def test_graph_that_makes_its_own_noise_gets_the_empty_latent():
    work = Outside(lambda outputs, feeds: [feeds["latent"]], {"latent": np.zeros((0, 3), np.float32)})
    assert work(["images"], {"seed": SEED, "index": INDEX}, Stop())[0].shape == (0, 3)
