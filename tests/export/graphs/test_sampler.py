"""The exported graph in onnxruntime, with nothing of jaxgen's in between: noise, network and loop."""

import jax
import numpy as np
import onnxruntime
import pytest
import torch
from runtimes import shape_of

from jaxgen.images import to_uint8
from jaxgen.models import network, sampling
from jaxgen.sampling import plan as plans, sampler_spec
from jaxgen_export import torch_models, weight_mapping

STILL = np.array([[0, 0, 0, 1, 1, 0, 0, 0, 0]], np.float32)  # next x = x
TOLD = np.array([[0, 0, 1, np.inf, 0, 1, 0, 0, 0]], np.float32)  # next x = what the network says, t in the first column


@pytest.fixture(scope="module")
def sample(session, model):
    """sample(index, ...): the images and the state of images of a seed, 0 unless given."""

    def run(index, *, seed=0, label=-1, **inputs):
        index = np.asarray(index, np.int64)
        feeds = {"seed": np.broadcast_to(seed, index.shape).astype(np.int64), "index": index}
        if model.classes:
            feeds["label"] = np.broadcast_to(label, index.shape).astype(np.int64)
        feeds |= {name: np.asarray(value, np.float32) for name, value in inputs.items()}
        return session.run(["images", "state_out"], feeds)

    return run


@pytest.fixture(scope="module")
def apply(model):
    """The Flax network with its weights: apply(x, t, label)."""
    net = jax.jit(network.build(model.config).apply)
    return lambda x, t, label: np.asarray(net(model.params, np.float32(x), np.float32(t), np.asarray(label, np.int32)))


def jax_normal(seed, index, noise_index, shape):
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(np.uint32(seed)), np.uint32(index)), noise_index)
    return np.asarray(jax.random.normal(key, shape))


def state(x, x0=None):
    return np.stack([x, np.zeros_like(x) if x0 is None else x0]).astype(np.float32)


def random_images(model, count):
    return np.random.default_rng(count).standard_normal((count, *shape_of(model))).astype(np.float32)


# --- noise


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_starting_noise_equals_that_of_jax(sample, model, seed):
    index = [0, 1, 2, 77, 2**16, 2**31, 2**32 - 1]
    _, (x, x0) = sample(index, seed=seed, plan=STILL)
    want = np.stack([jax_normal(seed, i, 0, shape_of(model)) for i in index])
    np.testing.assert_allclose(x, want, rtol=0, atol=2e-5)
    assert not x0.any()


def test_noise_of_a_row_has_the_index_it_names(sample, model):
    numbers = [1, 2, 50, 999, 2**16, 2**24]
    for number in numbers:
        row = [[0, 0, 0, 1, 0, 0, 0, 1, number]]  # next x = noise
        _, (x, _) = sample([5, 6], seed=3, plan=row)
        want = np.stack([jax_normal(3, i, number, shape_of(model)) for i in (5, 6)])
        np.testing.assert_allclose(x, want, rtol=0, atol=2e-5)


def test_normals_agree_with_jax_in_the_tails(sample, model):
    index = np.arange(3000)
    _, (x, _) = sample(index, seed=9, plan=STILL)
    want = np.stack([jax_normal(9, i, 0, shape_of(model)) for i in index])
    assert np.abs(want).max() > 4  # there are tails
    np.testing.assert_allclose(x, want, rtol=0, atol=2e-5)


def test_each_image_has_its_own_seed_and_index(sample):
    seeds, index = np.array([4, 0, 2**32 - 1]), np.array([0, 9, 1])
    _, together = sample(index, seed=seeds)
    for i in range(3):
        _, alone = sample(index[i : i + 1], seed=seeds[i])
        np.testing.assert_allclose(together[:, i], alone[:, 0], rtol=0, atol=2e-5)


# --- the network inside the loop


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("kind", ["random", "constant"])
def test_one_evaluation_is_within_1e_4_of_jax(sample, apply, model, batch, kind):
    x = random_images(model, batch) if kind == "random" else np.full((batch, *shape_of(model)), -1, np.float32)
    label = np.arange(batch) % (len(model.classes) + 1) - 1
    for t in (0, 1, model.config.diffusion.steps - 1):
        row = TOLD.copy()
        row[0, 0] = t
        inputs = {"guidance": 1.0} if model.classes else {}
        _, (found, _) = sample(np.arange(batch), label=label, plan=row, state=state(x), **inputs)
        want = apply(x, np.full(batch, t), label)
        assert np.abs(found - want).max() <= 1e-4 * np.abs(want).max()


@pytest.mark.parametrize("guidance", [0, 1, 2.5])
@pytest.mark.parametrize("label", [-1, 0, 2])
def test_guidance_is_that_of_jax(conditional, guidance, label):
    index = np.arange(3, dtype=np.uint32)
    plan = sampler_spec.from_config(conditional.config.diffusion, sampler="dpmpp-2m", steps=6)
    want = sampling.run_plan(
        network.build(conditional.config).apply, conditional.params, plan, np.full(3, 8, np.uint32), index,
        np.full(3, label, np.int32), shape=shape_of(conditional), guidance=guidance,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(conditional.onnx.read_bytes())
    feeds = {"seed": np.full(3, 8), "index": index.astype(np.int64), "label": np.full(3, label)}
    _, (x, _) = session.run(None, feeds | {"plan": plan, "guidance": np.asarray(guidance, np.float32)})
    np.testing.assert_allclose(x, np.asarray(want), rtol=0, atol=1e-4)


def test_guidance_moves_images_away_from_those_without_a_label(conditional):
    session = onnxruntime.InferenceSession(conditional.onnx.read_bytes())

    def told(label, guidance):
        row = TOLD.copy()
        row[0, 0] = 20
        feeds = {"seed": np.array([1]), "index": np.array([0]), "label": np.array([label])}
        return session.run(None, feeds | {"plan": row, "guidance": np.asarray(guidance, np.float32)})[1][0]

    plain, labelled = told(-1, 1), told(2, 1)
    assert np.abs(labelled - plain).max() > 0.01
    np.testing.assert_allclose(told(2, 0), plain, atol=1e-5)
    np.testing.assert_allclose(told(-1, 7), plain, atol=1e-5)
    np.testing.assert_allclose(told(2, 3), plain + 3 * (labelled - plain), atol=1e-4)


# --- the loop over the plan


@pytest.fixture(scope="module")
def network64(model):
    """The PyTorch twin in float64."""
    twin = torch_models.build(model.config)
    weight_mapping.load_into(twin, model.params)
    twin.double()

    def evaluate(x, t, label):
        with torch.inference_mode():
            return twin(torch.from_numpy(x), torch.full((len(x),), float(t)).double(), torch.from_numpy(label)).numpy()

    return evaluate


@pytest.mark.parametrize(
    "choice",
    [{"sampler": "ddim", "steps": 7, "eta": 0.0}, {"sampler": "ddim", "steps": 5, "eta": 1.0},
     {"sampler": "dpmpp-2m", "steps": 9}, {"sampler": "ancestral"}, {"sampler": "ancestral", "steps": 1}],
    ids=lambda choice: "-".join(map(str, choice.values())),
)  # fmt: skip
def test_loop_is_that_of_the_plan_in_float64(sample, model, network64, choice):
    plan = sampler_spec.from_config(model.config.diffusion, **choice)
    index, label = np.arange(3), np.arange(3) % (len(model.classes) + 1) - 1
    inputs = {"guidance": 1.0} if model.classes else {}
    images, (x, x0) = sample(index, seed=2, label=label, plan=plan, **inputs)

    def noise(number):
        return np.stack([jax_normal(2, i, number, shape_of(model)) for i in index]).astype(np.float64)

    want_x, want_x0 = plans.run(plan.astype(np.float64), noise(0), lambda x, t: network64(x, t, label), noise)
    np.testing.assert_allclose(x, want_x, rtol=0, atol=2e-4)
    np.testing.assert_allclose(x0, want_x0, rtol=0, atol=2e-4)
    off = np.abs(images.astype(int) - to_uint8(want_x))
    assert off.max() <= 1
    assert (off > 0).mean() < 0.005
    inside = (images > 0) & (images < 255)
    assert inside.mean() > 0.2  # there is something to compare


@pytest.mark.parametrize("cut", [1, 2, 6, 8])
def test_plan_cut_anywhere_gives_the_same(sample, model, cut):
    for choice in ({"sampler": "dpmpp-2m"}, {"sampler": "ddim", "eta": 1.0}):
        plan = sampler_spec.from_config(model.config.diffusion, steps=9, **choice)
        want, end = sample([3, 4], plan=plan)
        _, middle = sample([3, 4], plan=plan[:cut])
        found, end_again = sample([3, 4], plan=plan[cut:], state=middle)
        np.testing.assert_allclose(end_again, end, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(found, want)


def test_state_of_x_and_x0_is_where_the_loop_starts(sample, model):
    x, x0 = random_images(model, 2), random_images(model, 2) / 3
    row = [[0, 0.5, 0, 9, 2, 3, 5, 0, 1]]  # x0 = x / 2; next x = 2 x + 3 x0 + 5 x0_prev
    _, (found, found_x0) = sample([0, 1], plan=row, state=state(x, x0))
    np.testing.assert_allclose(found_x0, x / 2, rtol=1e-6)
    np.testing.assert_allclose(found, 2 * x + 1.5 * x + 5 * x0, rtol=1e-5, atol=1e-5)


def test_x0_is_clipped_to_the_rows_limit(sample, model):
    x = random_images(model, 2)
    for clip in (0.25, 1.0, np.inf):
        _, (found, _) = sample([0, 1], plan=[[0, 1, 0, clip, 0, 1, 0, 0, 1]], state=state(x))
        np.testing.assert_array_equal(found, np.clip(x, -clip, clip))


def test_left_out_inputs_have_the_configs_defaults(sample, model):
    diffusion = model.config.diffusion
    plan = plans.make_plan(
        plans.alpha_bar(diffusion.schedule, diffusion.steps),
        sampler="ddim", steps=diffusion.sampler_steps, eta=diffusion.eta, prediction=diffusion.prediction,
    )  # fmt: skip
    label = 1 if model.classes else -1
    want, _ = sample([0, 1], label=label)
    spelled = {"guidance": diffusion.guidance} if model.classes else {}
    empty = np.zeros((2, 0, *shape_of(model)))
    np.testing.assert_array_equal(sample([0, 1], label=label, plan=plan, state=empty, **spelled)[0], want)
    if model.classes:
        assert (sample([0, 1], label=label, guidance=1.0)[0] != want).any()


def test_pixels_are_rounded_as_images_to_uint8_does(sample, model):
    count = int(np.prod(shape_of(model)))
    ties = (np.arange(0, 255) + 0.5) / 127.5 - 1
    rest = [-900, -5, -1.0001, -1, -0.0, 0, 1, 1.0001, 5, 900]
    near = [np.nextafter(np.float32(ties), np.float32(way)) for way in (-2, 2)]
    values = np.concatenate([ties, *near, rest]).astype(np.float32)
    x = np.resize(values, (-(-len(values) // count), count)).reshape(-1, *shape_of(model))
    found, _ = sample(np.arange(len(x)), plan=STILL, state=state(x))
    np.testing.assert_array_equal(found, to_uint8(x))
    exact = [i for i in range(255) if (np.float32(ties[i]) + np.float32(1)) * np.float32(127.5) == i + 0.5]
    assert len(exact) > 50
    assert all(found.ravel()[i] == i + i % 2 for i in exact)  # a tie goes to the even one
