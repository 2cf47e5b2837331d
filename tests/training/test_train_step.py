import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxgen.config import TrainingConfig
from jaxgen.models import network as networks
from jaxgen.models.network import Network
from jaxgen.training.diffusion import ddpm
from jaxgen.training.train_step import (
    Learner,
    abstract_state,
    descend,
    device_mesh,
    ema_decay,
    learning_rate,
    make_init,
    make_steps,
)

START = np.array([0.5, -2.0, 3.0], np.float32)
TOY = Network(
    init=lambda key: {"w": jnp.asarray(START)},
    apply=lambda *_: None,
    train=lambda *_: (None, {}),
    trainable=frozenset({"w"}),
)
ROOT = jax.random.key(0)


def pull(params, x0, label, *, key):
    """Half the squared distance to each image's mean, weighted: gradients that differ in every step."""
    return 0.5 * jnp.sum(jnp.array([1.0, 2.0, 5.0]) * jnp.square(params["w"] - x0.mean())), {}


def noisy(params, x0, label, *, key):
    return pull(params, x0, label, key=key)[0] + jnp.sum(params["w"] * jax.random.normal(key, (3,))), {}


def tilt(slope):
    """A loss whose gradient is `slope` wherever it is taken."""
    return lambda params, x0, label, *, key: (jnp.sum(params["w"] * jnp.asarray(slope)), {})


def images(steps: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (steps, 4, 2, 2, 1), np.uint8)


def learner_of(training: TrainingConfig, loss, steps: int = 1, network: Network = TOY) -> Learner:
    return descend(training, network, loss, learning_rate(training, steps))


def walk(training: TrainingConfig, loss, steps: int, together: int = 1):
    """Every state and metric of some steps, `together` in a call."""
    mesh, learner = device_mesh(), learner_of(training, loss, steps)
    call = make_steps(learner.update, mesh)
    state = make_init(learner, mesh)(ROOT)
    states, metrics = [jax.device_get(state)], []
    scaled, labels = images(steps), np.zeros((steps, 4), np.int32)
    for i in range(0, steps, together):
        state, measured = call(state, scaled[i : i + together], labels[i : i + together], ROOT)
        states.append(jax.device_get(state))
        metrics.append(jax.device_get(measured))
    return states, {name: np.concatenate([m[name] for m in metrics]) for name in metrics[0]}


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9])
def test_average_follows_the_recurrence_on_the_new_weights(decay):
    states, _ = walk(TrainingConfig(ema=decay, optimizer="sgd", lr=0.05), pull, 12)
    average = START.astype(np.float64)
    for n in range(12):
        d = min(decay, (1 + n) / (10 + n))
        average = d * average + (1 - d) * states[n + 1].params["w"]
        assert np.allclose(states[n + 1].ema["w"], average, atol=1e-5)
    assert decay or np.array_equal(states[-1].ema["w"], states[-1].params["w"])


def test_decay_starts_at_a_tenth_and_never_passes_its_limit():
    assert float(ema_decay(0.999, jnp.int32(0))) == pytest.approx(0.1)
    assert float(ema_decay(0.999, jnp.int32(90))) == pytest.approx(0.91)
    assert float(ema_decay(0.999, jnp.int32(10**6))) == pytest.approx(0.999)


@pytest.mark.parametrize(("clip", "factor"), [(1.0, 1 / 7), (3.5, 0.5), (7.5, 1), (0.0, 1)])
def test_gradient_is_clipped_to_its_norm(clip, factor):
    slope = np.array([2.0, 3.0, 6.0], np.float32)  # of norm 7
    states, metrics = walk(TrainingConfig(optimizer="sgd", lr=0.1, grad_clip=clip), tilt(slope), 1)
    assert np.allclose(states[1].params["w"], START - 0.1 * factor * slope, atol=1e-6)
    assert metrics["grad_norm"][0] == pytest.approx(7)  # as it was before clipping


@pytest.mark.parametrize(
    ("name", "decay", "rule"),
    [
        ("adam", 0.0, partial(torch.optim.Adam, eps=1e-8)),
        ("adamw", 0.1, partial(torch.optim.AdamW, eps=1e-8, weight_decay=0.1)),
        ("sgd", 0.0, partial(torch.optim.SGD, momentum=0.9)),
    ],
)
def test_optimiser_agrees_with_torch(name, decay, rule):
    training = TrainingConfig(optimizer=name, lr=0.03, weight_decay=decay, grad_clip=0.0)
    states, metrics = walk(training, pull, 8)
    w = torch.nn.Parameter(torch.from_numpy(START.copy()))
    theirs = rule([w], lr=0.03)
    for step, scaled in enumerate(images(8)):
        mean = float((scaled.astype(np.float64) / 127.5 - 1).mean())
        loss = 0.5 * (torch.tensor([1.0, 2.0, 5.0]) * (w - mean) ** 2).sum()
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        assert metrics["loss"][step] == pytest.approx(loss.item(), rel=1e-5)
        assert np.allclose(states[step + 1].params["w"], w.detach().numpy(), atol=1e-5)


def test_lion_moves_each_weight_by_the_rate():
    states, _ = walk(TrainingConfig(optimizer="lion", lr=0.01, weight_decay=0.5), tilt([3.0, -1.0, 0.01]), 1)
    want = START - 0.01 * (np.array([1, -1, 1]) + 0.5 * START)  # Chen et al. 2023, algorithm 2, from rest
    assert np.allclose(states[1].params["w"], want, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "warmup", "corners"),
    [
        ("constant", 0, {0: 1, 50: 1, 100: 1, 1000: 1}),
        ("constant", 10, {0: 0, 5: 0.5, 10: 1, 100: 1}),
        ("linear", 0, {0: 1, 50: 0.5, 100: 0, 150: 0}),
        ("linear", 20, {0: 0, 10: 0.5, 20: 1, 60: 0.5, 100: 0}),
        ("cosine", 0, {0: 1, 25: (1 + math.sqrt(0.5)) / 2, 50: 0.5, 100: 0, 150: 0}),
        ("cosine", 20, {0: 0, 10: 0.5, 20: 1, 60: 0.5, 100: 0}),
        ("cosine", 100, {0: 0, 50: 0.5, 100: 1}),
    ],
)
def test_learning_rate_turns_where_it_should(schedule, warmup, corners):
    rate = learning_rate(TrainingConfig(lr=2e-3, lr_schedule=schedule, warmup=warmup), 100)
    for step, share in corners.items():
        assert float(rate(step)) == pytest.approx(share * 2e-3, abs=1e-9)


def test_steps_use_the_scheduled_rate():
    training = TrainingConfig(optimizer="sgd", lr=0.1, lr_schedule="linear", grad_clip=0.0)
    states, _ = walk(training, tilt([1.0, 0.0, 0.0]), 4)
    moves = np.diff([state.params["w"][0] for state in states])
    momentum = [1, 1.9, 2.71, 3.439]
    assert np.allclose(moves, [-0.1 * share * m for share, m in zip([1, 0.75, 0.5, 0.25], momentum, strict=True)])


@pytest.mark.parametrize("together", [2, 6])
def test_steps_of_one_call_equal_steps_of_many(together):
    training = TrainingConfig(lr=0.05, lr_schedule="cosine", warmup=2, ema=0.5)
    apart, metrics = walk(training, noisy, 6)
    joined, joined_metrics = walk(training, noisy, 6, together)
    for one, other in zip(jax.tree.leaves(apart[-1]), jax.tree.leaves(joined[-1]), strict=True):
        assert np.allclose(one, other, atol=1e-6)
    assert np.allclose(metrics["loss"], joined_metrics["loss"], rtol=1e-6) and len(joined_metrics["loss"]) == 6
    assert joined[-1].step == 6


@pytest.mark.slow
def test_network_trains_alike_in_one_call_and_in_many(small):
    network, mesh, training = networks.build(small), device_mesh(), small.training
    learner = learner_of(training, ddpm(small, network), 2, network)
    call, init = make_steps(learner.update, mesh), make_init(learner, mesh)
    images = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 8, 1), np.uint8)
    labels = np.full((2, 8), -1)
    joined, metrics = call(init(ROOT), images, labels, ROOT)
    apart, first = call(init(ROOT), images[:1], labels[:1], ROOT)
    apart, second = call(apart, images[1:], labels[1:], ROOT)
    assert np.allclose(metrics["loss"], [first["loss"][0], second["loss"][0]], rtol=1e-5)
    for name, value in joined.params.items():
        assert np.allclose(value, apart.params[name], atol=1e-2 * training.lr), name


def test_each_step_has_its_own_key_made_from_its_number():
    def seen(params, x0, label, *, key):
        drawn = jax.random.uniform(key)
        return drawn + 0 * params["w"].sum(), {"twice": 2 * drawn}

    _, metrics = walk(TrainingConfig(), seen, 4)
    want = np.array([jax.random.uniform(jax.random.fold_in(ROOT, step)) for step in range(4)])
    assert np.allclose(metrics["loss"], want, atol=1e-7)
    assert np.allclose(metrics["twice"], 2 * want, atol=1e-7)  # the terms of a loss are shown beside it


@pytest.mark.parametrize(("reduce", "want"), [(jnp.min, -1), (jnp.max, 1)])
def test_pixels_reach_the_loss_in_minus_one_to_one(reduce, want):
    def extreme(params, x0, label, *, key):
        return reduce(x0) + 0 * params["w"].sum(), {}

    mesh, learner = device_mesh(), learner_of(TrainingConfig(), extreme)
    images = np.array([0, 255, 100, 3], np.uint8).reshape(1, 4, 1, 1, 1)
    state = make_init(learner, mesh)(ROOT)
    _, metrics = make_steps(learner.update, mesh)(state, images, np.zeros((1, 4), int), ROOT)
    assert float(metrics["loss"][0]) == pytest.approx(want, abs=2e-7)


def test_state_is_donated():
    mesh, learner = device_mesh(), learner_of(TrainingConfig(), pull)
    state = make_init(learner, mesh)(ROOT)
    make_steps(learner.update, mesh)(state, images(1), np.zeros((1, 4), np.int32), ROOT)
    assert state.params["w"].is_deleted()


def test_abstract_state_describes_a_real_one(small):
    mesh, learner = device_mesh(), learner_of(small.training, pull)
    state, shapes = make_init(learner, mesh)(ROOT), abstract_state(learner, mesh)
    assert jax.tree.structure(state) == jax.tree.structure(shapes)
    for real, shape in zip(jax.tree.leaves(state), jax.tree.leaves(shapes), strict=True):
        assert (real.shape, real.dtype, real.sharding) == (shape.shape, shape.dtype, shape.sharding)
    assert np.array_equal(state.params["w"], state.ema["w"]) and state.step == 0
