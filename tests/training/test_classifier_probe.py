"""A classifier that watches a GAN."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxgen import config as configs
from jaxgen.config import GAN, VAE, Classifier, ClassifierConfig, DataConfig, GANConfig, TrainingConfig
from jaxgen.errors import UsageError
from jaxgen.runs.folder import RunFolder
from jaxgen.training.monitor import Monitor, classifier_probe
from jaxgen.training.trainer import train

DIGITS = DataConfig(dataset="digits", size=8, channels=1)
PLAIN = GAN(data=DIGITS, model=GANConfig(latent=4, widths=(4,), doublings=1))
CONDITIONAL = replace(PLAIN, model=replace(PLAIN.model, classes=10))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier of the digits that has learned something."""
    config = Classifier(
        data=DIGITS,
        model=ClassifierConfig(widths=(16,), features=32, dropout=0.0),
        training=TrainingConfig(steps=150, batch_size=64, lr=3e-3, checkpoint_every=150, sample_every=150),
    )
    folder = tmp_path_factory.mktemp("classifier") / "run"
    train(config, folder)
    return folder


def test_judge_reads_real_digits(classifier):
    from jaxgen import data

    digits = data.load("digits", "test")
    ordered = np.concatenate([np.flatnonzero(digits.labels == i)[:8] for i in range(10)]).reshape(10, 8).T.ravel()
    images, labels = digits.images[ordered], np.arange(80) % 10
    assert np.array_equal(Monitor(CONDITIONAL, None).labels(80), labels)
    shares, right = classifier_probe(CONDITIONAL, classifier)(images, labels)
    assert right > 0.8 and np.abs(shares - 0.1).max() < 0.06
    again, none = classifier_probe(PLAIN, classifier)(images, Monitor(PLAIN, None).labels(80))
    assert none is None and np.array_equal(again, shares)


def test_judge_is_there_only_where_one_is_named(classifier):
    assert classifier_probe(PLAIN, None) is None and classifier_probe(Classifier(data=DIGITS), None) is None


def test_wrong_judge_is_refused_in_a_line(classifier, tmp_path):
    (tmp_path / "empty").mkdir()
    RunFolder(tmp_path / "untrained").write(Classifier(data=DIGITS), None)
    size = replace(PLAIN, data=replace(DIGITS, size=16))
    for config, run, words in [
        (size, classifier, r"is not a classifier of digits at \(16, 16, 1\); train one"),
        (PLAIN, tmp_path / "empty", "not a run folder"),
        (PLAIN, tmp_path / "untrained", "no checkpoint yet"),
        (
            VAE(name="blind", data=DIGITS),
            classifier,
            "it watches the classes of a GAN's samples; blind is of family 'vae'",
        ),
    ]:
        with pytest.raises(UsageError, match=f"^--classifier: .*{words}") as refusal:
            classifier_probe(config, run)
        assert "\n" not in str(refusal.value)


def test_judge_of_the_same_data_elsewhere_is_known_by_them(classifier):
    from jaxgen import data

    moved = replace(PLAIN, data=replace(DIGITS, dataset="folder:/moved/digits"))
    identity = data.batches("digits", 8, seed=0).identity
    assert classifier_probe(moved, classifier, identity=identity)
    with pytest.raises(UsageError, match="is not a classifier of folder:/moved/digits"):
        classifier_probe(moved, classifier, identity=replace(identity, count=3))


def test_run_with_a_classifier_logs_the_share_of_each_class(classifier, tmp_path, metrics_of):
    training = TrainingConfig(steps=2, batch_size=8, sample_every=2, checkpoint_every=2, sample_count=4)
    train(replace(CONDITIONAL, training=training), tmp_path / "run", classifier=classifier)
    (line,) = [line for line in metrics_of(tmp_path / "run") if "diversity" in line or "class_share/0" in line]
    assert abs(sum(line[f"class_share/{i}"] for i in range(10)) - 1) < 1e-6 and 0 <= line["label_accuracy"] <= 1


def test_resumed_run_keeps_its_classifier_until_that_is_gone(classifier, tmp_path, metrics_of, capsys, monkeypatch):
    def judged(step):
        return [
            line["step"] for line in metrics_of(tmp_path / "run") if "class_share/0" in line and line["step"] == step
        ]

    monkeypatch.chdir(tmp_path)
    shutil.copytree(classifier, tmp_path / "judge")
    training = TrainingConfig(steps=1, batch_size=8, sample_count=4)
    config = replace(PLAIN, training=training)
    train(config, tmp_path / "run", classifier=Path("judge"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the path was kept whole
    train(configs.override(config, ["training.steps=2"]), tmp_path / "run", resume=True)
    assert judged(1) and judged(2) and RunFolder(tmp_path / "run").classifier() == tmp_path / "judge"
    shutil.rmtree(tmp_path / "judge")
    capsys.readouterr()
    train(configs.override(config, ["training.steps=3"]), tmp_path / "run", resume=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if "classifier" in line]
    assert len(lines) == 1 and lines[0].startswith(f"warning: going on without the classifier: {tmp_path / 'judge'}: ")
    assert not judged(3)
