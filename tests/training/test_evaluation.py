"""Scores during training, against scipy and prdc."""

import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from prdc import compute_prdc

from jaxgen import config as configs, data
from jaxgen.config import Classifier, DataConfig
from jaxgen.errors import Interrupted, UsageError
from jaxgen.evaluation.features import Extractor, Features
from jaxgen.evaluation.report import sampled
from jaxgen.images import to_uint8
from jaxgen.models import network as networks, sampling
from jaxgen.runs.evaluation import Evaluation, EvaluationRequest, read_evaluation
from jaxgen.runs.folder import RunFolder
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.evaluation import Evaluator, load_evaluator
from jaxgen.training.monitor import Monitor
from jaxgen.training.restore import load_trained
from jaxgen.training.run_logger import RunLogger
from jaxgen.training.signals import StopSignal
from jaxgen.training.trainer import train

COUNT = 70  # more than are sampled at once


@pytest.fixture(scope="session")
def classifier(family):
    """An extractor of 8 features, which are random but the same everywhere."""
    return family("classifier").onnx


@pytest.fixture(scope="module")
def evaluated(eventful, classifier, tmp_path_factory):
    """The run that `straight` is, evaluated after its steps 4 and 6."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    train(eventful, folder, evaluation=EvaluationRequest(4, COUNT, classifier))
    return folder


def scores_in(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "eval_fid" in line}


def frechet(one, two):
    (m1, c1), (m2, c2) = ((x.mean(0), np.cov(x.T)) for x in (one, two))
    return ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * scipy.linalg.sqrtm(c1 @ c2).real)


def test_evaluated_run_trains_as_one_that_is_not(straight, evaluated, assert_same_state, metrics_of):
    assert_same_state(straight, evaluated, 6)
    rest = [line for line in metrics_of(evaluated) if "eval_fid" not in line]
    rest.remove(next(line for line in rest if line["step"] == 4 and "test_loss" in line))  # of one more checkpoint
    assert rest == metrics_of(straight)


@pytest.mark.parametrize("step", [4, 6])
def test_scores_are_those_of_the_averaged_weights(evaluated, eventful, classifier, step):
    trained, extractor = load_trained(evaluated, str(step)), Extractor.open(classifier)
    index = np.arange(COUNT)
    images = sampling.sample(
        eventful, networks.build(eventful).apply, trained.params, jnp.zeros(COUNT, jnp.uint32),
        jnp.asarray(index, jnp.uint32), jnp.asarray(index % 10),
    )  # fmt: skip
    sets = [data.load("digits", split).images for split in ("train", "test")]
    real, test = (extractor(images[sampled(len(images), COUNT, 0)]).features for images in sets)
    ours, said = extractor(to_uint8(np.asarray(images))).features, scores_in(evaluated)[step]
    assert said["eval_fid"] == pytest.approx(frechet(real, ours), rel=0.02)  # pixels may differ by one
    assert said["eval_fid_floor"] == pytest.approx(frechet(real, test))
    near, floor = (compute_prdc(real, features, nearest_k=5) for features in (ours, test))
    for name in ("precision", "recall"):
        assert said[f"eval_{name}"] == pytest.approx(near[name], abs=1.5 / COUNT)
        assert said[f"eval_{name}_floor"] == pytest.approx(floor[name])
    assert "eval_label_accuracy" not in said  # the extractor knows three classes, and the model ten


def test_best_checkpoint_is_that_of_the_lowest_fid(evaluated):
    assert sorted(path.name for path in (evaluated / "checkpoints").iterdir()) == ["00000003", "00000004", "00000006"]
    fids = {step: line["eval_fid"] for step, line in scores_in(evaluated).items()}
    for step, fid in fids.items():
        seal = json.loads((evaluated / f"checkpoints/{step:08d}/jaxgen.json").read_text())
        assert seal["fid"] == fid and seal["score"] > 0
    assert Checkpoints(evaluated / "checkpoints").best() == min(fids, key=fids.get)


def test_resumed_run_goes_on_with_its_evaluation_and_refuses_another(
    evaluated, eventful, classifier, tmp_path, restamped, monkeypatch
):
    run = shutil.copytree(evaluated, tmp_path / "run")
    monkeypatch.setattr(Evaluator, "_measured", lambda *_: {"fid": 2.0})
    train(configs.override(eventful, ["training.steps=8"]), run, resume=True)
    assert list(scores_in(run)) == [4, 6, 8]
    kept = read_evaluation(RunFolder(run))
    assert (kept.every, kept.count, kept.extractor) == (4, COUNT, classifier)
    assert kept.sha256 == Extractor.open(classifier).sha256
    other = restamped(classifier, manifest=lambda entries: entries.update(training={"steps": 1}))
    for resume in (True, False):  # the same command again is no way around it
        asked = EvaluationRequest(4, None, other)
        with pytest.raises(UsageError, match=r"--extractor: .* has the hash \w{12}, and the run was scored") as refused:
            train(configs.override(eventful, ["training.steps=8"]), run, evaluation=asked, resume=resume)
        assert "\n" not in str(refused.value) and read_evaluation(RunFolder(run)) == kept
    train(configs.override(eventful, ["training.steps=9"]), run, evaluation=EvaluationRequest(0), resume=True)
    assert list(scores_in(run)) == [4, 6, 8] and read_evaluation(RunFolder(run)).every == 0


def test_signal_during_an_evaluation_is_obeyed_at_once(small, classifier, tmp_path, monkeypatch):
    release, stop, sample = threading.Event(), StopSignal(), Monitor.sample
    called, went_on = [], []

    def slow(self, params, count=0, *, first=0):
        called.append(first)
        stop.signal = 2
        went_on.append(not release.wait(60))
        return sample(self, params, count, first=first)

    monkeypatch.setattr(Monitor, "sample", slow)
    with pytest.raises(Interrupted, match="saved at step 1"):
        train(small, tmp_path / "run", evaluation=EvaluationRequest(1, COUNT, classifier), stop=stop)
    assert called == [0] and went_on == []  # nobody waited for it
    release.set()
    assert scores_in(tmp_path / "run") == {}
    assert "fid" not in json.loads((tmp_path / "run/checkpoints/00000001/jaxgen.json").read_text())


def test_time_of_an_evaluation_does_not_count_in_the_speed(small, classifier, tmp_path, monkeypatch):
    events, restart, steps = [], RunLogger.restart_clock, RunLogger.steps
    monkeypatch.setattr(Evaluator, "run", lambda self, *_: events.append("evaluation"))
    monkeypatch.setattr(RunLogger, "restart_clock", lambda self, step: (events.append("clock"), restart(self, step)))
    monkeypatch.setattr(RunLogger, "steps", lambda self, *given: (events.append("steps"), steps(self, *given)))
    asked = EvaluationRequest(2, COUNT, classifier)
    train(
        configs.override(small, ["training.steps=4", "training.checkpoint_every=9"]), tmp_path / "run", evaluation=asked
    )
    first = events.index("evaluation")
    assert events[first : first + 3] == ["evaluation", "clock", "steps"] and events.count("evaluation") == 2


class FakeExtractor:
    """Reads the pixels; the class is the value of the first one."""

    sha256, classes, shape = "f" * 64, tuple("0123456789"), (2, 2, 1)

    def __call__(self, images):
        flat = images.reshape(len(images), -1).astype(float)
        return Features(flat, np.eye(10)[images[:, 0, 0, 0] % 10])


def evaluator(count, every=10, floor=None):
    real = np.random.default_rng(0).standard_normal((count, 4))
    return Evaluator(Evaluation(every=every, count=count), FakeExtractor(), real, True, floor or {}, 5)


def test_images_are_sampled_in_parts_and_judged_by_their_classes(small, tmp_path, capsys):
    asked, told = [], []

    def sample(params, count, *, first):
        asked.append((first, count))
        images = np.random.default_rng(first).integers(20, 90, (count, 2, 2, 1)).astype(np.uint8)
        images[:, 0, 0, 0] = np.arange(first, first + count) % 10
        images[::5, 0, 0, 0] += 1  # a fifth is of the next class
        return images

    def labels(count):
        return np.arange(count) % 10

    monitor = SimpleNamespace(sample=sample, labels=labels, config=small)
    logger = SimpleNamespace(scalars=lambda *given: told.append(given), say=told.append)
    fid = evaluator(100, floor={"fid": 1.25, "label_accuracy": 1}).run(monitor, dict, 30, logger, StopSignal())
    assert asked == [(0, 64), (64, 64)]
    (step, values), line = told
    assert step == 30 and values["eval_label_accuracy"] == pytest.approx(1 - (13 + 8) / 100)
    assert values["eval_fid"] == fid > 0 and values["eval_fid_floor"] == 1.25
    assert line.startswith(f"evaluation at step 30: fid {fid:.4g} (floor 1.25)  kid ") and "\n" not in line


@pytest.mark.parametrize(("every", "due"), [(10, [12, 21, 24]), (3, [3, 6, 9, 12, 15, 18, 21, 24]), (99, [24])])
def test_call_that_reaches_a_multiple_is_evaluated_and_none_is_cut(every, due):
    calls = [(step, step + 3) for step in range(0, 24, 3)]
    assert [step for before, step in calls if evaluator(20, every).due(before, step, 24)] == due


@pytest.mark.parametrize(
    ("settings", "every", "words"),
    [
        (["data.size=16"], 5, r"^--extractor: .* reads images of \[8, 8, 1\], and small generates \[16, 16, 1\]"),
        (["data.dataset=nothing"], None, "^no extractor of 'nothing' comes with jaxgen"),
        ([], "few", "^--eval-count: scores by 8 features need at least 9 images, got 8$"),
    ],
)  # fmt: skip
def test_run_that_cannot_be_evaluated_is_refused_in_a_line(small, classifier, settings, every, words):
    path = None if every is None else classifier
    asked = Evaluation(every=5, count=8 if every == "few" else 40, extractor=path)
    with pytest.raises(UsageError, match=words) as refused:
        load_evaluator(configs.override(small, settings), asked, None)
    assert "\n" not in str(refused.value)


def test_wrong_files_and_models_are_refused_in_a_line(small, tmp_path):
    digits = Classifier(name="reader", data=DataConfig(dataset="digits", size=8, channels=1))
    with pytest.raises(
        UsageError, match=r"^--eval-every: reader is of family 'classifier', which generates no images$"
    ):
        load_evaluator(digits, Evaluation(every=5), None)
    golden = Path(__file__).parents[1] / "golden/format2"
    for path in (golden / "gan.onnx", golden / "classifier.onnx", tmp_path / "nothing.onnx"):
        with pytest.raises(UsageError, match=rf"^--extractor: {path}: [^\n]+$"):
            load_evaluator(small, Evaluation(every=5, extractor=path), None)


def test_run_that_is_not_evaluated_needs_no_extractor(small):
    assert load_evaluator(small, None, None) is None
    assert load_evaluator(small, Evaluation(every=0), None) is None


def test_classes_that_are_left_out_are_not_compared_with(small, classifier):
    config = configs.override(small, ["data.without=[0, 1, 2, 3, 4, 5, 6, 7]"])
    found = load_evaluator(config, Evaluation(every=1, count=1000, extractor=classifier), None)
    splits = [data.load("digits", split).labels for split in ("train", "test")]
    counts = [np.count_nonzero(labels >= 8) for labels in splits]
    assert [len(found.real), found.floor_n] == counts
