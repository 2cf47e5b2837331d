import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import config as configs
from jaxgen.config import GAN, DataConfig, GANConfig, TrainingConfig
from jaxgen.errors import UsageError
from jaxgen.models import network as networks
from jaxgen.models.network import Network
from jaxgen.training.gan import GAMES, gradient_penalty, learner
from jaxgen.training.train_step import TrainState, learning_rate
from jaxgen.training.trainer import train

REAL, FAKE = (np.random.default_rng(seed).normal(0.3, 2, 50) for seed in (0, 1))

SMALL = GAN(
    name="small-gan",
    data=DataConfig(dataset="digits", size=8, channels=1),
    model=GANConfig(
        latent=4, widths=(4, 4), doublings=1, generator_norm="batch", discriminator_norm="batch", classes=10,
        dropout=0.3,
    ),
    training=TrainingConfig(
        steps=4, batch_size=8, lr=1e-3, beta1=0.5, grad_clip=0.0, log_every=1, checkpoint_every=2, sample_every=4,
        sample_count=20,
    ),
)  # fmt: skip
LEAN = configs.override(SMALL, ["model.widths=[4]", "model.discriminator_norm=none"])  # compiles in half the time
IMAGES = jax.random.uniform(jax.random.key(5), (8, 8, 8, 1), minval=-1)
LABELS = jnp.arange(8) % 10
GENERATORS = "generator.linear.kernel"


@pytest.mark.parametrize("side", ["discriminator", "generator"])
@pytest.mark.parametrize("name", sorted(GAMES))
def test_losses_are_those_of_the_papers(name, side):
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    want = {  # each side's loss, in the paper's own words: D is a probability in the first
        "non-saturating": {
            "discriminator": -(np.log(sigmoid(REAL)).mean() + np.log(1 - sigmoid(FAKE)).mean()),
            "generator": -np.log(sigmoid(FAKE)).mean(),
        },
        "hinge": {
            "discriminator": -np.minimum(0, REAL - 1).mean() - np.minimum(0, -FAKE - 1).mean(),
            "generator": -FAKE.mean(),
        },
        "wgan-gp": {"discriminator": FAKE.mean() - REAL.mean(), "generator": -FAKE.mean()},
    }[name][side]
    scores = {"discriminator": (REAL, FAKE), "generator": (FAKE,)}[side]
    assert math.isclose(getattr(GAMES[name], side)(*map(jnp.asarray, scores)), want, rel_tol=1e-5)


def test_beliefs_of_sure_discriminators_are_0_and_1():
    scores = jnp.array([-30.0, 0.0, 30.0])
    for name in ("non-saturating", "hinge"):
        assert np.allclose(GAMES[name].belief(scores), [0, 0.5, 1])
    assert [name for name, game in GAMES.items() if not game.beliefs] == ["wgan-gp"]


def test_gradient_penalty_of_a_linear_critic_is_of_its_slope():
    slope = jax.random.normal(jax.random.key(0), (4, 4, 1))
    real, fake = (jax.random.normal(jax.random.key(i), (7, 4, 4, 1)) for i in (1, 2))
    penalty = gradient_penalty(lambda x: (x * slope).sum((1, 2, 3)) + 3, real, fake, key=jax.random.key(3))
    assert math.isclose(penalty, (np.linalg.norm(slope) - 1) ** 2, rel_tol=1e-4)


def test_gradient_penalty_looks_between_real_and_fake_images():
    # The gradient of x^2 / 2 is x itself; the mean of (|x| - 1)^2 from -1 to 3 is a quarter of two integrals of
    # (x - 1)^2, from 0 to 3 and from 0 to 1.
    count = 20_000
    real, fake = jnp.full((count, 1, 1, 1), -1.0), jnp.full((count, 1, 1, 1), 3.0)
    penalty = gradient_penalty(lambda x: jnp.square(x).sum((1, 2, 3)) / 2, real, fake, key=jax.random.key(0))
    want = ((2**3 + 1) / 3 + (0 + 1) / 3) / 4
    assert abs(float(penalty) - want) < 0.03


def test_gradient_penalty_has_a_gradient_where_the_slope_is_zero():
    zero = jnp.zeros((2, 2, 2, 1))

    def penalty(weight):
        return gradient_penalty(lambda x: (weight * x).sum((1, 2, 3)), zero, zero, key=jax.random.key(0))

    assert math.isfinite(jax.grad(penalty)(0.0))


def one_step(config: GAN, start: TrainState | None = None) -> tuple[TrainState, TrainState, dict]:
    """A state, the state after one step, and that step's metrics."""
    learns = learner(config, networks.build(config), learning_rate(config.training, 10))
    before = jax.jit(learns.init)(jax.random.key(0)) if start is None else start
    after, metrics = jax.jit(learns.update)(before, IMAGES, LABELS, jax.random.key(1))
    return before, after, {name: float(value) for name, value in metrics.items()}


@pytest.fixture(scope="module")
def stepped():
    return one_step(SMALL)


def changed(before: TrainState, after: TrainState) -> set[str]:
    far = {name: np.abs(value - after.params[name]).max() for name, value in before.params.items()}
    return {name for name, way in far.items() if way > 1e-20}


def test_a_step_trains_both_sides_and_moves_their_statistics(stepped):
    before, after, metrics = stepped
    same = before.params.keys() - changed(before, after)
    # The batch has eight of the ten classes; biases before a norm have no slope but rounding, and may or may not move.
    assert {name for name in same if not name.endswith(".bias")} == set()
    assert any(name.endswith(".mean") for name in changed(before, after))
    assert int(after.step) == 1 and all(map(math.isfinite, metrics.values()))
    assert metrics.keys() == {
        "loss",
        "discriminator_loss",
        "d_real",
        "d_fake",
        "discriminator_grad_norm",
        "grad_norm",
        "lr",
    }


@pytest.mark.parametrize(("stopped", "moving"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_a_side_that_learns_nothing_is_left_alone_by_the_other(stopped, moving):
    """One side's rate is nothing, so whatever moves it is the other side's step."""
    rates = {"generator": "training.lr=1e-30", "discriminator": "training.lr=0.1"}[stopped]
    other = {"generator": "gan.discriminator_lr=0.1", "discriminator": "gan.discriminator_lr=1e-30"}[stopped]
    config = configs.override(LEAN, ["training.optimizer=sgd", rates, other])
    before, after, _ = one_step(config)
    statistics = {name for name in before.params if name.endswith((".mean", ".var"))}
    moved = changed(before, after) - statistics
    assert moved and all(name.startswith(moving + ".") for name in moved)


def test_average_holds_the_generators_weights_alone(stepped):
    before, after, _ = stepped
    names = {name for name in before.params if name.startswith("generator.")}
    assert before.ema.keys() == after.ema.keys() == names
    decay = 0.1  # min(0.999, (1 + 0) / (10 + 0))
    for name in names:
        want = decay * np.asarray(before.params[name]) + (1 - decay) * np.asarray(after.params[name])
        assert np.allclose(after.ema[name], want, atol=1e-6), name


def test_generator_alone_can_be_sampled(stepped):
    _, after, _ = stepped
    network = networks.build(SMALL)
    z = jnp.ones((2, 4))
    assert np.array_equal(
        network.apply(after.ema, z, LABELS[:2]), network.apply(after.params | after.ema, z, LABELS[:2])
    )


@pytest.mark.slow
def test_discriminator_takes_its_steps_for_each_of_the_generator_on_the_same_schedule():
    config = configs.override(
        LEAN, ["gan.critic_steps=2", "gan.discriminator_lr=0.004", "training.lr_schedule=linear", "training.ema=0.0"]
    )
    learns = learner(config, networks.build(config), learning_rate(config.training, 2))
    update, states, rates = jax.jit(learns.update), [jax.jit(learns.init)(jax.random.key(0))], []
    for _ in range(3):
        state, metrics = update(states[-1], IMAGES, LABELS, jax.random.key(1))
        states.append(state)
        rates.append(float(metrics["lr"]))
    counts = {
        name: {int(leaf) for leaf in jax.tree.leaves(inner) if leaf.dtype == jnp.int32}
        for name, inner in states[1].optimizer.items()
    }
    assert counts == {"discriminator": {2}, "generator": {1}}
    # Each of Adam's first steps is about as long as the rate.
    ways = [np.abs(states[1].params[n] - states[0].params[n]).max() for n in ("discriminator.out.kernel", GENERATORS)]
    assert 0.006 < ways[0] < 0.01 and 0.0008 < ways[1] < 0.0012
    assert np.allclose(rates, [1e-3, 5e-4, 0])
    assert {name for name in changed(*states[2:]) if not name.endswith((".mean", ".var"))} == set()


class Greys:
    """Each side has one weight: what grey is drawn, and how much light counts as real; keeps what is scored."""

    def __init__(self) -> None:
        self.scored: list[tuple[np.ndarray, np.ndarray]] = []
        start = {"generator.w": jnp.zeros(()), "discriminator.w": jnp.ones(())}
        self.network = Network(init=lambda key: start, apply=self.train, train=self.train, trainable=frozenset(start))

    def train(self, params, x, label, *, method, **_):
        if method == "generate":
            return jnp.broadcast_to(params["generator.w"], (len(x), 8, 8, 1)), {}
        if not isinstance(x, jax.core.Tracer):  # which it is where a gradient goes through it, in the generator's step
            self.scored.append((np.asarray(x[:, 0, 0, 0]), np.asarray(label)))
        return (x * params["discriminator.w"]).mean((1, 2, 3)), {}


def test_each_side_logs_the_slope_of_its_own_loss():
    """Scores are light times the discriminator's weight, 1, and the generator draws 0: both slopes by hand."""
    game, key = Greys(), jax.random.key(0)
    learns = learner(SMALL, game.network, learning_rate(SMALL.training, 10))
    images = jnp.broadcast_to(jnp.arange(8.0)[:, None, None, None], (8, 8, 8, 1))
    _, metrics = learns.update(learns.init(key), images, LABELS, key)
    light = np.arange(8)
    assert math.isclose(metrics["discriminator_grad_norm"], (light / (1 + np.exp(light))).mean(), rel_tol=1e-4)
    assert math.isclose(metrics["grad_norm"], 0.5, rel_tol=0.01)  # by then the weight has moved by the rate, 0.001


def test_discriminator_has_the_rate_of_the_runs_step_whatever_its_steps_were_before():
    """The schedule is over after the first step, so a step of twice as many critic steps must move nothing."""
    network, key = Greys().network, jax.random.key(0)
    config = configs.override(SMALL, ["training.lr_schedule=linear"])
    learners = [
        learner(each, network, learning_rate(each.training, 1))
        for each in (config, configs.override(config, ["gan.critic_steps=2"]))
    ]
    states = [learners[0].init(key)]
    for learns in learners:
        states.append(learns.update(states[-1], IMAGES, LABELS, key)[0])
    assert changed(*states[:2]) == {"generator.w", "discriminator.w"} and changed(*states[1:]) == set()


def test_each_step_of_the_discriminator_sees_images_of_its_own():
    game, key = Greys(), jax.random.key(0)
    config = configs.override(SMALL, ["gan.critic_steps=4"])
    learns = learner(config, game.network, learning_rate(config.training, 10))
    images = jnp.broadcast_to(jnp.arange(8.0)[:, None, None, None], (8, 8, 8, 1))
    learns.update(learns.init(key), images, jnp.arange(8), key)
    assert [len(x) for x, _ in game.scored] == [2] * 8  # of each step real ones, then drawn ones
    real, drawn = game.scored[::2], game.scored[1::2]
    assert sorted(np.concatenate([x for x, _ in real])) == list(range(8))
    for (x, of_real), (_, of_drawn) in zip(real, drawn, strict=True):
        assert np.array_equal(x, of_real) and np.array_equal(x, of_drawn)  # with the classes that are theirs


def test_batch_that_cannot_be_dealt_out_is_refused():
    with pytest.raises(
        UsageError, match=r"training\.batch_size must be a multiple of gan\.critic_steps \(3\), as 24 is, got 8"
    ):
        configs.override(SMALL, ["gan.critic_steps=3"])


@pytest.mark.parametrize("loss", ["hinge", "wgan-gp"])
@pytest.mark.slow
def test_other_losses_train_and_stay_finite(loss):
    config = configs.override(SMALL, [f"gan.loss={loss}", "model.discriminator_norm=none"])
    before, after, metrics = one_step(config)
    assert len(changed(before, after)) > 10 and all(map(math.isfinite, metrics.values()))


def test_discriminator_learns_to_distinguish_a_fixed_generator_from_images():
    """With the generator held still the game is classification, which a few steps of Adam win."""
    config = configs.override(LEAN, ["model.dropout=0.0", "training.lr=1e-12", "gan.discriminator_lr=0.01"])
    learns = learner(config, networks.build(config), learning_rate(config.training, 10))
    state, update = jax.jit(learns.init)(jax.random.key(0)), jax.jit(learns.update)
    seen = []
    for i in range(60):
        state, metrics = update(state, IMAGES, LABELS, jax.random.key(i))
        seen.append(metrics)
    assert seen[-1]["discriminator_loss"] < 0.2 < seen[0]["discriminator_loss"]
    assert seen[-1]["d_real"] > 0.85 and seen[-1]["d_fake"] < 0.15


def test_resumed_run_equals_one_that_was_not_bit_for_bit(tmp_path, metrics_of, assert_same_state):
    train(LEAN, tmp_path / "straight")
    train(configs.override(LEAN, ["training.steps=2"]), tmp_path / "run")
    train(LEAN, tmp_path / "run", resume=True)
    assert_same_state(tmp_path / "straight", tmp_path / "run", 4)
    ends = [[line for line in metrics_of(tmp_path / run) if line["step"] > 2] for run in ("straight", "run")]
    assert ends[0] == ends[1] and any("d_fake" in line for line in ends[0])
