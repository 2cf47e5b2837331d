import errno
import json
import math
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen import config as configs, data
from jaxgen.config import VAE, Classifier
from jaxgen.config.presets import preset
from jaxgen.data import catalog
from jaxgen.errors import Interrupted, JaxgenError, UsageError
from jaxgen.images import save_png
from jaxgen.runs.folder import RunFolder
from jaxgen.training import distributed
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.data_loading import open_data
from jaxgen.training.divergence import DivergenceCheck
from jaxgen.training.families import FAMILIES, Family
from jaxgen.training.monitor import Monitor
from jaxgen.training.trainer import Trainer, train


def folders(run) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_run_folder_holds_what_a_run_leaves(straight, eventful, metrics_of):
    assert configs.load(straight / "config.toml") == eventful
    assert folders(straight) == ["00000003", "00000006"]
    assert [line["step"] for line in metrics_of(straight)] == [1, 2, 3, 3, 4, 5, 6, 6]
    assert len(list((straight / "tensorboard").iterdir())) == 1
    image = np.asarray(Image.open(straight / "samples" / "00000006.png"))
    assert image.shape == (118, 118)  # 2 x 2 images of 56 pixels, 2 around each
    assert len(np.unique(image)) > 2  # not the grey between images alone


def test_metrics_hold_the_rate_of_each_step(straight, eventful, metrics_of):
    rates = [line["lr"] for line in metrics_of(straight) if "lr" in line]
    cosine = [0.5 * (1 + math.cos(math.pi * n / 4)) for n in range(4)]
    assert np.allclose(rates, np.array([0, 0.5, *cosine]) * eventful.training.lr, atol=1e-9)


def test_training_lowers_the_loss_on_unseen_images(small, tmp_path, metrics_of):
    longer = configs.override(small, ["training.steps=120", "training.lr=0.01", "training.checkpoint_every=40"])
    train(longer, tmp_path / "run")
    scores = [line["test_loss"] for line in metrics_of(tmp_path / "run") if "test_loss" in line]
    assert scores[-1] < scores[0] and scores[-1] < 0.4  # a network that says zero has 1


def test_stopped_and_resumed_run_equals_one_that_was_not_bit_for_bit(
    straight, stopped, eventful, metrics_of, assert_same_state, capsys
):
    assert folders(stopped) == ["00000003", "00000004"]
    train(eventful, stopped)
    assert "going on at step 4" in capsys.readouterr().err
    assert_same_state(straight, stopped, 6)
    assert metrics_of(stopped) == metrics_of(straight)


def test_crashed_run_goes_on_from_its_last_checkpoint_bit_for_bit(
    straight, stopped, eventful, metrics_of, assert_same_state
):
    shutil.rmtree(stopped / "checkpoints" / "00000004")  # as if killed after step 4, before it could save
    train(eventful, stopped)
    assert_same_state(straight, stopped, 6)
    assert metrics_of(stopped) == metrics_of(straight)


def test_resumed_run_falls_back_to_the_newest_whole_checkpoint(
    straight, stopped, eventful, metrics_of, assert_same_state, capsys
):
    (stopped / "checkpoints" / "00000004" / "jaxgen.json").unlink()
    train(eventful, stopped)
    err = capsys.readouterr().err
    assert "00000004 is damaged (jaxgen.json is missing)" in err and "going on at step 3" in err
    assert_same_state(straight, stopped, 6)
    assert metrics_of(stopped) == metrics_of(straight)
    assert folders(stopped) == ["00000003", "00000004.damaged", "00000006"]


def test_run_whose_checkpoints_are_all_damaged_is_refused_and_left_as_it_is(stopped, eventful):
    for seal in (stopped / "checkpoints").glob("*/jaxgen.json"):
        seal.unlink()
    before = (stopped / "metrics.jsonl").read_text()
    with pytest.raises(JaxgenError, match="no whole checkpoint"):
        train(eventful, stopped)
    assert folders(stopped) == ["00000003", "00000004"] and (stopped / "metrics.jsonl").read_text() == before


def test_finished_run_says_so_and_changes_nothing(straight, eventful, capsys):
    before = (straight / "metrics.jsonl").read_text()
    assert train(eventful, straight) == straight / "checkpoints" / "00000006"
    assert "is finished: step 6 of 6" in capsys.readouterr().err
    assert (straight / "metrics.jsonl").read_text() == before


def test_signal_while_compiling_is_obeyed_before_the_first_step(small, tmp_path, monkeypatch):
    def compiling(self, *_):
        self.stop.signal = 15

    monkeypatch.setattr(Trainer, "_compiled", compiling)
    with pytest.raises(Interrupted, match="nothing to save yet") as interrupted:
        train(small, tmp_path / "run")
    assert interrupted.value.exit_code == 143 and not (tmp_path / "run" / "checkpoints").exists()


def test_signal_of_another_process_is_obeyed(small, tmp_path, monkeypatch):
    calls = iter([0, 0, 0, 0, 0, 2, 2])  # two of them to agree on the first step
    monkeypatch.setattr(distributed, "largest", lambda number: next(calls))
    with pytest.raises(Interrupted, match="saved at step 3") as interrupted:
        train(small, tmp_path / "run")
    assert interrupted.value.exit_code == 130


def test_diverging_run_stops_and_keeps_what_was_finite(small, tmp_path, metrics_of, state_in):
    run = tmp_path / "run"
    train(configs.override(small, ["training.steps=3"]), run)
    before = state_in(run, 3)
    wild = configs.override(small, ["training.lr=1e30", "training.checkpoint_every=50", "training.steps=50"])
    with pytest.raises(JaxgenError) as stopped:
        train(wild, run, resume=True)
    message, lines = str(stopped.value), metrics_of(run)
    assert stopped.value.exit_code == 3 and "\n" not in message
    last = [line for line in lines if "loss" in line][-1]
    assert f" at step {last['step'] + 1} (last finite loss: {last['loss']:.4g})" in message
    assert "go on from the last checkpoint with a lower lr" in message and f"--resume {run}" in message
    assert folders(run) == ["00000003"] and last["step"] > 3
    assert all(np.array_equal(before[name], leaf) for name, leaf in state_in(run, 3).items())
    assert all(math.isfinite(value) for line in lines for value in line.values())


def test_divergence_names_the_best_checkpoint_if_newer_ones_may_be_wrecked(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step, score in [(3, 0.125), (6, 0.5), (9, None)]:
        checkpoints.path(step).mkdir(parents=True)
        (checkpoints.path(step) / "jaxgen.json").write_text(json.dumps({"score": score}))
    check = DivergenceCheck(RunFolder(tmp_path), checkpoints, 1)
    later = f"first delete {checkpoints.path(6)} {checkpoints.path(9)}"
    assert f"step 3 (test loss 0.125): to go on from there, {later}" in str(check.error(10, {"loss": math.nan}))
    (checkpoints.path(9) / "jaxgen.json").write_text('{"score": 0.0625}')
    assert "best checkpoint" not in str(check.error(10, {"loss": math.nan}))


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (JaxgenError("7.png: is no image"), "7.png: is no image", 3),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of\nmemory"), "out of memory; use smaller batches", 3),
    ],
)
def test_exception_in_the_loop_saves_first(straight, eventful, tmp_path, monkeypatch, assert_same_state, metrics_of,
                                           error, reason, code):  # fmt: skip
    run, load = tmp_path / "a run", Trainer._load

    def broken(self, step, count):
        if step >= 4:
            raise error
        return load(self, step, count)

    with monkeypatch.context() as patch, pytest.raises(JaxgenError) as stopped:
        patch.setattr(Trainer, "_load", broken)
        train(eventful, run)
    assert str(stopped.value) == f"{reason}; saved at step 4; go on with: jaxgen train --resume '{run}'"
    assert stopped.value.exit_code == code and folders(run) == ["00000003", "00000004"]
    if isinstance(error, JaxgenError):  # once is enough
        train(eventful, run)
        assert_same_state(straight, run, 6)
        assert metrics_of(run) == metrics_of(straight)


def test_full_disk_says_what_is_safe_and_how_to_go_on(small, tmp_path, monkeypatch):
    run, write = tmp_path / "run", Checkpoints._write

    def full(self, aside, final, *rest):
        if final.name != "00000003":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{aside}/state")
        write(self, aside, final, *rest)

    monkeypatch.setattr(Checkpoints, "_write", full)
    with pytest.raises(JaxgenError) as stopped:
        train(small, run)
    assert str(stopped.value) == (
        f"{run}/checkpoints/00000006: cannot be saved: {run}/checkpoints/00000006.tmp/state: No space left on device; "
        f"the checkpoint of step 3 is safe; make room or mend the disk, then go on with: jaxgen train --resume {run}"
    )


def test_loss_that_is_never_finite_saves_nothing(small, tmp_path, monkeypatch):
    def nan(config, network):
        return lambda params, *_, key, train=True: (jnp.nan * params["conv_in.bias"].sum(), {})

    monkeypatch.setitem(FAMILIES, "ddpm", Family(nan))
    with pytest.raises(JaxgenError, match=r"loss nan, .* at step 1 \(last finite loss: none\)") as stopped:
        train(small, tmp_path / "run")
    assert "with no checkpoint yet, start again with a lower lr" in str(stopped.value)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_weights_that_overflow_are_not_saved_even_if_their_loss_was_finite(small, tmp_path, monkeypatch):
    monkeypatch.setattr(Monitor, "test_loss", lambda *_: {"loss": math.nan})
    with pytest.raises(JaxgenError, match="test loss nan at step 3"):
        train(small, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_refused_command_leaves_nothing_that_refuses_the_mended_one(small, tmp_path):
    run = tmp_path / "run"
    for setting, words in [
        ("training.batch_size=5000", "larger than the dataset"),
        ("model.classes=7", "has 10 classes; set model.classes=10"),
    ]:
        with pytest.raises(UsageError, match=words):
            train(configs.override(small, [setting]), run)
    train(configs.override(small, ["training.steps=1"]), run)
    assert folders(run) == ["00000001"]


def test_refused_resume_keeps_the_config(straight, eventful):
    with pytest.raises(UsageError):
        train(configs.override(eventful, ["training.batch_size=5000"]), straight, resume=True)
    assert RunFolder(straight).config() == eventful


def test_another_config_in_the_same_folder_is_refused(straight, eventful):
    with pytest.raises(UsageError, match=r"training.lr = 0.001, not 0.5"):
        train(configs.override(eventful, ["training.lr=0.5"]), straight)


def test_resume_takes_a_changed_config(straight, eventful, tmp_path, metrics_of):
    run = shutil.copytree(straight, tmp_path / "run")
    longer = configs.override(eventful, ["training.steps=7", "training.keep=1"])
    train(longer, run, resume=True)
    assert RunFolder(run).config() == longer
    assert metrics_of(run)[-1]["step"] == 7 and "00000007" in folders(run)


def test_best_checkpoint_is_kept_besides_the_last(small, tmp_path, monkeypatch):
    scores = iter([0.5, 0.1, 0.4, 0.3, 0.2, 0.6])
    monkeypatch.setattr(Monitor, "test_loss", lambda *_: {"loss": next(scores)})
    train(configs.override(small, ["training.checkpoint_every=1", "training.keep=2"]), tmp_path / "run")
    assert folders(tmp_path / "run") == ["00000002", "00000005", "00000006"]
    assert json.loads((tmp_path / "run/checkpoints/00000002/jaxgen.json").read_text())["score"] == 0.1


def test_test_loss_is_that_of_all_test_images_whatever_their_batches(small, monkeypatch):
    test = open_data(small, None)[1]
    monkeypatch.setattr("jaxgen.training.monitor.BATCH", 77)
    asked = []

    def loss(params, images, labels, *, key):
        asked.append(images)
        return jnp.square(images).mean(), {"largest": images.max()}

    monitor = Monitor(small, test)
    monkeypatch.setitem(monitor.__dict__, "_loss", loss)
    want = np.square(data.load("digits", "test").images / 127.5 - 1).mean()
    assert monitor.test_loss({}) == pytest.approx({"loss": want, "largest": 1.0}, rel=1e-5)
    assert [len(images) for images in asked] == [77, 77, 77, 69]
    assert (np.concatenate(asked).min(), np.concatenate(asked).max()) == (-1, 1)


def test_test_images_are_few_fixed_and_of_all_classes(small):
    few = configs.override(small, ["training.test_images=100"])
    (one, labels), (again, _) = (open_data(few, None)[1] for _ in range(2))
    assert len(one) == 100 and np.array_equal(one, again) and set(labels) == set(range(10))
    known = {image.tobytes() for image in data.load("digits", "test").images}
    assert all(image.tobytes() in known for image in one)


@pytest.mark.parametrize("count", [0, 1000])
def test_test_images_may_be_all(small, count):
    images, _ = open_data(configs.override(small, [f"training.test_images={count}"]), None)[1]
    assert sorted(map(np.ndarray.tobytes, images)) == sorted(
        map(np.ndarray.tobytes, data.load("digits", "test").images)
    )


def test_classes_that_are_left_out_are_neither_trained_on_nor_tested(small):
    batches, test = open_data(configs.override(small, ["data.without=[1, 7]", "training.batch_size=100"]), None)
    labels = data.load("digits", "train").labels
    assert batches.steps_per_epoch == np.count_nonzero((labels != 1) & (labels != 7)) // 100
    seen = np.concatenate([batches[step][1] for step in range(batches.steps_per_epoch)])
    assert set(seen) == set(test[1]) == set(range(10)) - {1, 7}


@pytest.mark.parametrize("without", ["[77]", "[1, 10]"])
def test_class_that_the_data_has_not_cannot_be_left_out(small, without):
    with pytest.raises(UsageError, match=r"data.without names class (77|10), but digits has classes 0 to 9"):
        open_data(configs.override(small, [f"data.without={without}"]), None)


@pytest.mark.parametrize(
    ("config", "words"),
    [(VAE(), "use --model vae, or put the images into one"), (Classifier(), "classes; put the images into one")],
)
def test_message_on_a_flat_folder_without_classes_names_what_to_do(config, words, tmp_path):
    for number in range(3):
        save_png(tmp_path / f"{number}.png", np.zeros((8, 8, 1), np.uint8))
    settings = [f"data.dataset=folder:{tmp_path}", "model.classes=10", "training.batch_size=1"]
    with pytest.raises(UsageError, match=r"model.classes is 10, but .* has no classes; ") as refused:
        open_data(configs.override(config, settings), None)
    assert f"{words} subfolder a class" in str(refused.value)
    with pytest.raises(UsageError, match=r"data.without names class 1, but .* has no classes"):
        open_data(configs.override(config, [*settings, "data.without=[1]"]), None)


@pytest.mark.parametrize("family", ["cddpm-digits", "cvae-digits", "cgan-digits", "classifier-digits"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_image_of_no_class_reaches_no_loss_of_a_conditional_network(family, split, monkeypatch):
    class Odd:
        """Two classes, and one image of neither in one split."""

        info = staticmethod(lambda data_dir: data.DatasetInfo(
            name="odd", title="", source="", shape=(8, 8, 1), classes=("a", "b"), splits={"train": 9, "test": 9},
            ready=True,
        ))  # fmt: skip

        def open(self, opened, data_dir):
            labels = np.arange(9, dtype=np.int32) % 2
            labels[4] = -1 if opened == split else 0
            return data.Dataset(np.zeros((9, 8, 8, 1), np.uint8), labels, ("a", "b"))

    monkeypatch.setitem(catalog.SOURCES, "odd", Odd())
    settings = ["data.dataset=odd", "model.classes=2", "training.batch_size=4"]
    with pytest.raises(JaxgenError, match=r"1 of 9 images have no class \(of 2\)"):
        open_data(configs.override(preset(family), settings), None)
    plain = configs.override(preset("vae-digits"), ["data.dataset=odd", "training.batch_size=4"])
    assert open_data(plain, None)[0].steps_per_epoch == 2


def test_set_without_a_test_split_is_trained_without_a_score(small, tmp_path, monkeypatch):
    info = data.info("digits")
    monkeypatch.setattr(data, "info", lambda *_, **__: type(info)(**{**vars(info), "splits": {"train": 1497}}))
    train(configs.override(small, ["training.steps=1"]), tmp_path / "run")
    assert json.loads((tmp_path / "run/checkpoints/00000001/jaxgen.json").read_text())["score"] is None


def test_batches_are_those_of_the_data_package(small):
    batches, _ = open_data(small, None)
    want = data.batches("digits", 8, seed=0)
    for step in (0, 186, 187, 1000):
        assert all(np.array_equal(a, b) for a, b in zip(batches[step], want[step], strict=True))


def test_bfloat16_run_keeps_its_state_in_float32(small, tmp_path, state_in):
    train(configs.override(small, ["training.dtype=bfloat16", "training.steps=2"]), tmp_path / "run")
    dtypes = {leaf.dtype for leaf in state_in(tmp_path / "run", 2).values()}
    assert dtypes == {jnp.dtype("float32"), jnp.dtype("int32")}


def test_scanned_run_reaches_the_state_of_one_step_at_a_time(straight, eventful, tmp_path, state_in, metrics_of):
    train(configs.override(eventful, ["training.scan_steps=3"]), tmp_path / "run")
    one, many = state_in(straight, 6), state_in(tmp_path / "run", 6)
    assert all(np.allclose(one[name], many[name], atol=1e-4) for name in one)
    for a, b in zip(metrics_of(straight), metrics_of(tmp_path / "run"), strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_batch_that_does_not_divide_over_the_devices_is_refused(small, tmp_path, monkeypatch):
    mesh = jax.sharding.AbstractMesh((3,), ("data",))
    monkeypatch.setattr("jaxgen.training.trainer.device_mesh", lambda: mesh)
    with pytest.raises(UsageError, match=r"training\.batch_size 8 does not divide over 3 devices"):
        train(small, tmp_path / "run")
