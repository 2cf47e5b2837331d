"""A run that learns from another one's predictions."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import config as configs
from jaxgen.config import DDPM, GAN, DataConfig, DiffusionConfig, Flow, TrainingConfig, UNetConfig
from jaxgen.errors import Interrupted, UsageError
from jaxgen.models.network import Network
from jaxgen.training.diffusion import ddpm, flow
from jaxgen.training.distillation import load_teacher
from jaxgen.training.trainer import train

DIGITS = DataConfig(dataset="digits", size=8, channels=1)
UNET = UNetConfig(channels=8, multipliers=(1,), blocks=1, classes=10)
FEW = TrainingConfig(steps=6, batch_size=8, checkpoint_every=3, sample_every=6, sample_count=1, log_every=1)
STUDENTS = [
    DDPM(data=DIGITS, model=UNET, diffusion=DiffusionConfig(steps=20, sampler_steps=4), training=FEW),
    Flow(data=DIGITS, model=UNET, training=FEW),
]
OBJECTIVES = {"ddpm": ddpm, "flow": flow}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(replace(STUDENTS[0], training=replace(FEW, steps=3)), folder)
    return folder


@pytest.mark.parametrize("config", STUDENTS, ids=lambda config: config.family)
def test_loss_is_the_distance_from_what_the_teacher_says_and_from_the_truth_when_not_training(config):
    told = []

    def say(x_t, t, label):
        told.append(np.asarray(label))
        return jnp.full_like(x_t, 3.0)

    heard = []

    def apply(params, x_t, t, label, key=None):
        heard.append(np.asarray(label))
        return jnp.full_like(x_t, params["out"])

    network = Network(init=None, apply=apply, train=None, trainable=frozenset())
    images, labels = jax.random.normal(jax.random.key(1), (64, 8, 8, 1)), jnp.arange(64) % 10
    objective = OBJECTIVES[config.family]
    taught, alone = objective(config, network, say), objective(config, network)
    loss = taught({"out": jnp.array(1.0)}, images, labels, key=jax.random.key(0))[0]
    assert float(loss) == pytest.approx(4.0)
    # Both are told the same class, or that there is none: the student guesses without a class as its teacher does.
    assert np.array_equal(told[0], heard[0]) and 0 < (heard[0] == -1).sum() < 20
    evaluated = [
        one({"out": jnp.array(1.0)}, images, labels, key=jax.random.key(0), train=False)[0] for one in (taught, alone)
    ]
    assert len(told) == 1 and evaluated[0] == evaluated[1] != loss


def test_student_with_its_teachers_weights_has_nothing_to_learn(teacher):
    from jaxgen.models.network import build
    from jaxgen.training.restore import load_trained

    config = STUDENTS[0]
    loss = ddpm(config, build(config), load_teacher(config, teacher))
    images, labels = jax.random.normal(jax.random.key(1), (4, 8, 8, 1)), jnp.arange(4)
    params = {name: jnp.asarray(value) for name, value in load_trained(teacher).params.items()}
    assert float(loss(params, images, labels, key=jax.random.key(0))[0]) == 0
    changed = {name: value + 0.01 for name, value in params.items()}
    assert float(loss(changed, images, labels, key=jax.random.key(0))[0]) > 0


def test_teacher_goes_with_the_run_when_it_is_resumed(teacher, tmp_path, sigterm_at, assert_same_state):
    smaller = configs.override(STUDENTS[0], ["model.channels=16"])
    train(smaller, tmp_path / "whole", teacher=teacher)
    with sigterm_at(3), pytest.raises(Interrupted):
        train(smaller, tmp_path / "run", teacher=teacher)
    assert json.loads((tmp_path / "run/environment.json").read_text())["teacher"] == str(teacher)
    train(smaller, tmp_path / "run", resume=True)
    assert_same_state(tmp_path / "whole", tmp_path / "run", 6)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (GAN(name="player", data=DIGITS), "^--teacher: player is of family 'gan', which learns from images alone$"),
        (STUDENTS[1], "has another family: ddpm, and custom has flow$"),
        (configs.override(STUDENTS[0], ["data.size=16"]), r"another image shape: \(8, 8, 1\), and custom has \(16, "),
        (configs.override(STUDENTS[0], ["model.classes=0"]), "another number of classes: 10, and custom has 0$"),
        (configs.override(STUDENTS[0], ["diffusion.steps=21"]), "another process: Diffusion.*steps=20.*steps=21"),
    ],
)
def test_teacher_of_something_else_is_refused_in_a_line(teacher, config, words):
    with pytest.raises(UsageError, match=words):
        load_teacher(config, teacher)


def test_teacher_that_is_no_run_is_refused_and_no_folder_is_left(tmp_path):
    with pytest.raises(UsageError, match="not a run folder"):
        train(STUDENTS[0], tmp_path / "new", teacher=tmp_path)
    assert not (tmp_path / "new").exists()
