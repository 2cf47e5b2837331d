"""Students of few steps: their losses against the ODE of a Gaussian, and whole tiny runs."""

import json
import shutil
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import config as configs
from jaxgen.config import DDPM, DataConfig, DiffusionConfig, Flow, TrainingConfig, UNetConfig
from jaxgen.config.students import student_of
from jaxgen.errors import Interrupted, UsageError
from jaxgen.models import network as networks
from jaxgen.models.network import Network, weights_hash
from jaxgen.models.sampling import image_noise
from jaxgen.training import teacher_pairs
from jaxgen.training.distillation import load_teacher
from jaxgen.training.restore import load_trained
from jaxgen.training.student_losses import consistency, distance, reflow, start_noise
from jaxgen.training.students import METHODS
from jaxgen.training.teacher import Teacher
from jaxgen.training.teacher_pairs import SEED, TeacherPairs
from jaxgen.training.trainer import train

DIGITS = DataConfig(dataset="digits", size=8, channels=1)
UNET = UNetConfig(channels=8, multipliers=(1,), blocks=1, classes=10)
FEW = TrainingConfig(steps=3, batch_size=8, checkpoint_every=3, sample_every=6, sample_count=1, log_every=1)
TEACHERS = {
    "ddpm": DDPM(data=DIGITS, model=UNET, diffusion=DiffusionConfig(steps=20, sampler_steps=4), training=FEW),
    "flow": Flow(data=DIGITS, model=UNET, training=FEW),
}
DEVIATION = 0.2  # of the Gaussian's pixels: small, so that nothing is clipped


KEPT = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)).astype(np.float32)  # alpha_bar of linear betas


def gaussian_scales(family, t):
    """The scales of image and noise in x at a network's times, by the formulas of the processes."""
    if family == "flow":
        return 1 - t / 1000, t / 1000
    kept = jnp.asarray(KEPT)[t.astype(jnp.int32)]
    return jnp.sqrt(kept), jnp.sqrt(1 - kept)


@dataclass(frozen=True)
class Gaussian(Teacher):
    """A teacher that knows the best prediction where every pixel is N(0, DEVIATION^2); the label changes nothing."""

    @property
    def apply(self):
        return exact[self.config.family]


def _exact(family):
    def apply(params, x, t, label, key=None):
        signal, noise = (scale[:, None, None, None] for scale in gaussian_scales(family, t))
        variance = (signal * DEVIATION) ** 2 + noise**2
        eps, x0 = noise * x / variance, signal * DEVIATION**2 * x / variance
        return eps - x0 if family == "flow" else eps

    return apply


exact = {family: _exact(family) for family in ("ddpm", "flow")}
WHOLE = {
    "ddpm": DDPM(data=DIGITS, model=UNET, diffusion=DiffusionConfig(steps=1000)),
    "flow": Flow(data=DIGITS, model=UNET),
}


def gaussian(family, steps, method="reflow", finest=64):
    settings = (f"distillation.teacher_steps={finest}", "distillation.pairs=64", "training.steps=100")
    settings += ("training.batch_size=16",)
    config = student_of(WHOLE[family], steps, method=method, settings=settings)
    return config, Gaussian(WHOLE[family], {}, {"name": "exact", "sha256": "0" * 64, "steps": 1})


def spread(family, t):
    """The deviation of x at a time: along the probability-flow ODE of a Gaussian, x keeps its share of it."""
    signal, noise = levels(family, t)
    return np.sqrt((signal * DEVIATION) ** 2 + noise**2)


def levels(family, t):
    """`gaussian_scales`, of NumPy numbers."""
    if family == "flow":
        return 1 - np.asarray(t) / 1000, np.asarray(t) / 1000
    kept = KEPT[np.asarray(t, int)].astype(np.float64)
    return np.sqrt(kept), np.sqrt(1 - kept)


def student_network(config, x0_share):
    """A network whose x0 is x0_share(t) * x, whatever it predicts, moved by its one weight."""

    def apply(params, x, t, label, key=None):
        signal, noise = (scale[:, None, None, None] for scale in gaussian_scales(config.family, t))
        x0 = x0_share(t)[:, None, None, None] * x + params["off"]
        return (x - x0) / noise if config.family == "flow" else (signal * x - x0) / noise

    return Network(init=None, apply=apply, train=None, trainable=frozenset())


@pytest.mark.parametrize("family", ["ddpm", "flow"])
def test_teachers_pairs_lie_on_the_ode_of_a_gaussian(family, tmp_path):
    config, teacher = gaussian(family, 2)
    index = np.arange(16)
    points = TeacherPairs(config, teacher, tmp_path).trajectories(index)
    noise = np.asarray(image_noise(jnp.full(16, SEED, jnp.uint32), jnp.asarray(index, jnp.uint32), 0, (8, 8, 1)))
    start, middle = (999, 499) if family == "ddpm" else (1000.0, 500.0)
    for point, wanted in zip(points.swapaxes(0, 1), (spread(family, middle), DEVIATION), strict=True):
        slope = (point * noise).sum() / (noise**2).sum()
        assert slope == pytest.approx(wanted / spread(family, start), rel=0.05)
        assert np.abs(point - slope * noise).max() < 2e-3  # float16


@pytest.mark.parametrize("family", ["ddpm", "flow"])
def test_reflow_is_least_where_each_row_follows_the_ode(family, tmp_path):
    config, teacher = gaussian(family, 2)
    start, middle = (999, 499) if family == "ddpm" else (1000.0, 500.0)
    first, last = spread(family, middle) / spread(family, start), DEVIATION / spread(family, middle)
    # x0 of the row that takes x to first * x, by DDIM (Song et al. 2021, eq. 12) or by Euler.
    (signal, noise), (next_signal, next_noise) = (levels(family, t) for t in (start, middle))
    kept = next_noise / noise
    share = {float(start): (first - kept) / (next_signal - kept * signal), float(middle): last}
    pairs = TeacherPairs(config, teacher, tmp_path)
    assert pairs.complete(lambda line: None, lambda: False)
    batch = pairs.batch(np.arange(32), np.zeros(32, np.int32))
    right = student_network(config, lambda t: jnp.where(t == start, share[float(start)], share[float(middle)]))
    wrong = student_network(config, lambda t: jnp.where(t == start, share[float(start)], 0.8 * share[float(middle)]))

    def value(network, off=0.0):
        loss = reflow(config, network, teacher)
        return float(loss({"off": jnp.float32(off)}, None, batch, key=jax.random.key(0), step=0)[0])

    assert value(right) < 2e-3 < 5 * value(right) + 2e-3 < value(wrong)
    assert (
        value(right, 0.1)
        == pytest.approx(np.hypot(0.1, 0.03) - 0.03, rel=0.05)
        == pytest.approx(value(right, -0.1), rel=0.05)
    )


def test_distance_is_a_square_near_zero_and_the_root_mean_square_far_away():
    zero = jnp.zeros((2, 4, 4, 1))
    near, far = float(distance(zero, zero + 1e-3)[0]), float(distance(zero, zero - 5.0)[1])
    assert near == pytest.approx(1e-6 / (2 * 0.03), rel=0.01) and far == pytest.approx(5 - 0.03, abs=1e-3)


@pytest.mark.parametrize("family", ["ddpm", "flow"])
def test_consistency_is_least_for_the_ode_and_gives_its_teacher_no_gradient(family):
    config, teacher = gaussian(family, 1, "consistency")
    times = np.arange(1000.0 if family == "ddpm" else 1001.0)

    def share(t):
        return DEVIATION / jnp.interp(t, jnp.asarray(times), jnp.asarray(spread(family, times)))

    images = DEVIATION * jax.random.normal(jax.random.key(1), (64, 8, 8, 1))
    labels = jnp.zeros(64, jnp.int32)

    def value(more, step=99):
        loss = consistency(config, student_network(config, lambda t: share(t) * (1 + more * t / 1000)), teacher)
        return float(loss({"off": jnp.float32(0)}, images, labels, key=jax.random.key(0), step=step)[0])

    assert value(0.0) < 1e-4 and 5 * value(0.0) < value(2.0)
    assert value(0.0) < value(0.0, step=0)  # 64 times, where the run begins with 16

    network = networks.build(TEACHERS[family])
    student = student_of(TEACHERS[family], 1, method="consistency", settings=("training.steps=9",))
    params = jax.jit(network.init)(jax.random.key(0))
    params = {name: value + 0.01 for name, value in params.items()}

    def taught(theirs, ours):
        loss = consistency(student, network, Teacher(TEACHERS[family], theirs, {}))
        return loss(ours, images[:4], labels[:4], key=jax.random.key(0), step=8)[0]

    theirs, ours = jax.grad(taught, argnums=(0, 1))(params, params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(theirs))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(ours))


@pytest.fixture(scope="module")
def teacher_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(TEACHERS["ddpm"], folder)
    return folder


def of(run, method, *settings):
    """A tiny student's config."""
    few = ["training.steps=4", "training.checkpoint_every=2", "training.warmup=0", "distillation.pairs=20"]
    few += ["distillation.teacher_steps=4"]
    return student_of(load_trained(run).config, 1, method=method, settings=(*few, *settings))


def test_without_its_opinion_the_adversarial_student_steps_as_the_other_one(teacher_run, tmp_path):
    settings = ["distillation.adversarial_weight=0", "model.label_dropout=0.5"]
    states = {}
    for method in ("reflow", "adversarial"):
        config = of(teacher_run, method, *settings)
        teacher = load_teacher(config, teacher_run)
        pairs = TeacherPairs(config, teacher, tmp_path)
        assert pairs.complete(lambda line: None, lambda: False)
        batch = pairs.batch(np.arange(8), np.arange(8, dtype=np.int32))
        learner = METHODS[method].learner(config, networks.build(config), lambda step: 1e-3, teacher)
        state = learner.init(jax.random.key(0))
        assert weights_hash(state.ema) == teacher.record["sha256"]
        images = jax.random.normal(jax.random.key(2), (8, 8, 8, 1))
        states[method] = state, *jax.jit(learner.update)(state, images, batch, jax.random.key(3))
    (_, other, _), (before, after, metrics) = states["reflow"], states["adversarial"]
    for name, value in other.params.items():
        np.testing.assert_allclose(after.params[name], value, atol=2e-4)
        np.testing.assert_allclose(after.ema[name], other.ema[name], atol=2e-4)
    critic = [name for name in before.params if name.startswith("discriminator.")]
    assert critic and not set(critic) & set(after.ema)
    assert any((after.params[name] != before.params[name]).any() for name in critic)
    assert {"regression", "d_real", "d_fake", "discriminator_loss"} <= metrics.keys()


def test_discriminator_moves_the_student_and_sees_no_image_without_a_class(teacher_run, tmp_path):
    config = of(teacher_run, "adversarial", "model.label_dropout=0.5")
    teacher = load_teacher(config, teacher_run)
    pairs = TeacherPairs(config, teacher, tmp_path)
    assert pairs.complete(lambda line: None, lambda: False)
    batch = pairs.batch(np.arange(8), np.arange(8, dtype=np.int32))
    assert 0 < (batch.wanted == -1).sum() < 8
    from jaxgen.training.adversarial import Adversarial, side

    game = Adversarial(config, networks.build(config), lambda step: 1e-3, teacher)
    critic = side(game.init(jax.random.key(0)).params, "discriminator")
    found = jnp.zeros((8, 8, 8, 1))
    pull = jax.grad(lambda x: game.student_loss(x, critic, batch, jax.random.key(1))[0])(found)
    alone = jax.grad(lambda x: distance(x, batch.points[:, -1].astype(jnp.float32)).mean())(found)
    moved = np.abs(np.asarray(pull - alone)).max((1, 2, 3)) > 1e-6
    assert np.array_equal(moved, batch.wanted >= 0)


@pytest.mark.parametrize("method", METHODS)
def test_student_stops_and_resumes_bit_for_bit_and_names_its_teacher(
    method, teacher_run, tmp_path, sigterm_at, assert_same_state
):
    config = of(teacher_run, method)
    train(config, tmp_path / "whole", teacher=teacher_run)
    with sigterm_at(3), pytest.raises(Interrupted):
        train(config, tmp_path / "run", teacher=teacher_run)
    train(config, tmp_path / "run", resume=True)
    assert_same_state(tmp_path / "whole", tmp_path / "run", 4)
    trained, teacher = load_trained(tmp_path / "run"), load_trained(teacher_run)
    want = {"name": teacher.config.name, "sha256": weights_hash(teacher.params), "steps": 3}
    assert trained.facts["teacher"] == want and trained.facts["test_loss"] is None
    assert trained.params.keys() == teacher.params.keys()
    assert (tmp_path / "run" / "pairs").exists() == METHODS[method].pairs


def test_pieces_of_an_interrupted_student_are_kept(teacher_run, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_pairs, "PIECE", 8)
    config = of(teacher_run, "reflow")
    pairs = TeacherPairs(config, load_teacher(config, teacher_run), tmp_path)
    calls = iter([False, True])
    assert not pairs.complete(lambda line: None, lambda: next(calls))
    (first,) = pairs.place.glob("*.npy")
    written = first.stat().st_mtime_ns
    stale = tmp_path / "pairs" / "other"
    stale.mkdir()
    said = []
    assert pairs.complete(said.append, lambda: False)
    assert first.stat().st_mtime_ns == written and not stale.exists()
    assert len(said) == 2 and said[-1].startswith("the teacher's images: 20 of 20")
    got = pairs.batch(np.array([19, 0, 8]), np.zeros(3, np.int32))
    np.testing.assert_array_equal(got.points[1:], pairs.trajectories(np.array([0, 8])))
    assert np.array_equal(got.wanted[got.wanted >= 0], np.array([9, 0, 8])[got.wanted >= 0])
    assert start_noise(jax.tree.map(jnp.asarray, got)).shape == (3, 8, 8, 1)
    other = replace(pairs, config=of(teacher_run, "reflow", "distillation.pairs=21"))
    assert other.place != pairs.place


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["model.channels=16"], "--teacher: .* has another network: UNetConfig.*channels=8.*channels=16"),
        (["diffusion.schedule=cosine"], "has another process: .*'linear'.*'cosine'"),
        (["data.size=16"], "has another image shape"),
    ],
)
def test_incompatible_teacher_is_one_line(teacher_run, settings, words):
    with pytest.raises(UsageError, match=words) as refused:
        load_teacher(configs.override(of(teacher_run, "reflow"), settings), teacher_run)
    assert "\n" not in str(refused.value)


def test_student_without_a_teacher_or_with_another_one_is_refused(teacher_run, tmp_path):
    config = of(teacher_run, "reflow")
    with pytest.raises(UsageError, match="'reflow' needs a teacher: jaxgen distill RUN --method reflow"):
        train(config, tmp_path / "alone")
    assert not (tmp_path / "alone").exists()
    known = load_teacher(config, teacher_run).record
    assert load_teacher(config, teacher_run, known).record == known
    with pytest.raises(
        UsageError, match=r"has other weights \(.*\) than the teacher so far \(x of 9 steps, weights beef"
    ):
        load_teacher(config, teacher_run, {"name": "x", "sha256": "beef" * 16, "steps": 9})


def test_resumed_student_keeps_to_the_step_of_its_teacher(teacher_run, tmp_path):
    teacher, config = shutil.copytree(teacher_run, tmp_path / "teacher"), of(teacher_run, "consistency")
    record = load_teacher(config, teacher).record
    longer = configs.override(load_trained(teacher).config, ["training.steps=5"])
    train(longer, teacher, resume=True)
    assert load_teacher(config, teacher).record["steps"] == 5
    assert load_teacher(config, teacher, json.loads(json.dumps(record))).record == record
