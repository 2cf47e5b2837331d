"""What a run that goes on must find as it was: its data, wherever they lie; and what a changed config means for it."""

import dataclasses
import json
import math
import shutil

import pytest
from PIL import Image

from jaxgen import config as configs, data
from jaxgen.config import VAE, Config, DataConfig, TrainingConfig, VAEConfig
from jaxgen.data.identity import Identity
from jaxgen.errors import UsageError
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.sessions import Progress
from jaxgen.training.data_loading import open_data
from jaxgen.training.resuming import Past, numbers_of
from jaxgen.training.trainer import train

SHADES = {"cat": 0, "dog": 100, "eel": 200}


@pytest.fixture
def pets(tmp_path):
    """Twenty images each of cats and dogs, whose shades tell their classes."""
    for name in ("cat", "dog"):
        add(tmp_path / "pets" / name, SHADES[name])
    return tmp_path / "pets"


def add(folder, shade, count=20):
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("L", (8, 8), shade + i).save(folder / f"{i:02}.png")


def config_of(pets, classes=2, without=()) -> Config:
    return VAE(
        name="pets",
        data=DataConfig(dataset=f"folder:{pets}", without=without),
        model=VAEConfig(latent=2, hidden=(8,), classes=classes),
        training=TrainingConfig(batch_size=9),
    )


def trained(folder, config) -> RunFolder:
    """A run folder of this config, as one that has a checkpoint."""
    run = RunFolder(folder)
    batches = open_data(config, None)[0]
    run.write(config, None, batches.classes, data_record=batches.identity.to_dict())
    run.checkpoints.mkdir()
    return run


def shades_by_label(batches) -> dict[int, set[int]]:
    """For each label, the hundreds of its images' shades."""
    found: dict[int, set[int]] = {}
    for step in range(batches.steps_per_epoch):
        for image, label in zip(*batches[step], strict=True):
            found.setdefault(int(label), set()).add(int(image[0, 0, 0]) // 100 * 100)
    return found


def test_moved_data_are_known_again(pets, tmp_path):
    run = trained(tmp_path / "run", config_of(pets))
    moved = pets.rename(tmp_path / "elsewhere")
    batches, _ = open_data(config_of(moved), None, Past.of(run))
    assert batches.classes == ("cat", "dog") and shades_by_label(batches) == {0: {0}, 1: {100}}


def test_folder_that_is_gone_says_how_to_name_the_new_place(pets, tmp_path):
    run = trained(tmp_path / "my run", config_of(pets))
    pets.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"there is no such folder any more; .* --resume '.*my run' --dataset folder:"):
        open_data(config_of(pets), None, Past.of(run))


CHANGES = {
    "renamed": (lambda pets: (pets / "cat").rename(pets / "wolf"), "the classes were cat, dog, and are dog, wolf"),
    "added": (lambda pets: add(pets / "eel", 200), "the classes were cat, dog, and are cat, dog, eel"),
    "removed": (lambda pets: shutil.rmtree(pets / "cat"), "the classes were cat, dog, and are dog"),
}


@pytest.mark.parametrize("change", ["renamed", "added", "removed"])
@pytest.mark.parametrize("classes", [0, 2])
def test_changed_classes_are_refused_with_both_lists_and_the_way_on(pets, tmp_path, change, classes):
    config = config_of(pets, classes)
    run = trained(tmp_path / "run", config)
    make, words = CHANGES[change]
    make(pets)
    with pytest.raises(UsageError) as refused:
        open_data(config, None, Past.of(run))
    message = str(refused.value)
    assert words in message and f"is not what {run.path} was trained on" in message and "\n" not in message
    assert f"--resume {run.path} --accept-data" in message


def test_another_set_of_the_same_names_is_refused(pets, tmp_path):
    config = config_of(pets)
    run = trained(tmp_path / "run", config)
    for name in ("cat", "dog"):
        shutil.rmtree(pets / name)
        add(pets / name, SHADES[name] + 50)
    with pytest.raises(UsageError, match="trained on: 16 of 16 images that were looked at differ"):
        open_data(config, None, Past.of(run))


def test_accepted_data_have_the_numbers_of_the_names_that_were_trained(pets, tmp_path):
    config = config_of(pets)
    run = trained(tmp_path / "run", config)
    (pets / "cat").rename(pets / "wolf")  # which is the second class now, and cats were the first
    batches, (images, labels) = open_data(config, None, Past.of(run, accept=True))
    assert batches.classes == ("cat", "dog") and shades_by_label(batches) == {0: {0}, 1: {100}}
    assert labels.tolist() == [int(image[0, 0, 0] >= 100) for image in images]  # the test images, too
    shutil.rmtree(pets / "wolf")
    batches, _ = open_data(config, None, Past.of(run, accept=True))
    assert batches.classes == ("cat", "dog") and shades_by_label(batches) == {1: {100}}


def test_more_classes_than_the_network_knows_are_refused_even_if_accepted(pets, tmp_path):
    run = trained(tmp_path / "run", config_of(pets))
    add(pets / "eel", 200)
    with pytest.raises(UsageError, match=r"has more classes \(cat, dog, eel\) than the network knows \(cat, dog\)"):
        open_data(config_of(pets), None, Past.of(run, accept=True))
    unconditional = trained(tmp_path / "other", config_of(pets, 0))
    add(pets / "fox", 200)
    assert open_data(config_of(pets, 0), None, Past.of(unconditional, accept=True))[0].classes == ("cat", "dog", "eel")


def test_classes_that_are_left_out_by_number_cannot_be_others(pets, tmp_path):
    config = config_of(pets, 0, without=(0,))
    run = trained(tmp_path / "run", config)
    (pets / "cat").rename(pets / "wolf")
    with pytest.raises(UsageError, match=r"data\.without counts the classes that were trained"):
        open_data(config, None, Past.of(run, accept=True))


def test_run_of_an_earlier_version_is_known_by_its_class_names(pets, tmp_path):
    config = config_of(pets)
    run = trained(tmp_path / "run", config)
    environment = json.loads(run.environment_file.read_text())
    del environment["data"]
    run.environment_file.write_text(json.dumps(environment))
    (pets / "cat" / "00.png").unlink()  # not known to it
    open_data(config, None, Past.of(run))
    (pets / "cat").rename(pets / "wolf")
    with pytest.raises(UsageError, match="the classes were cat, dog, and are dog, wolf"):
        open_data(config, None, Past.of(run))


def test_classes_keep_the_numbers_of_their_names_and_others_take_what_is_left():
    assert numbers_of(("dog", "wolf"), ("cat", "dog")).tolist() == [1, 0]
    assert numbers_of(("a", "b", "c", "d"), ("d", "x", "b")).tolist() == [1, 2, -1, 0]
    assert numbers_of(("a", "b"), ()).tolist() == [-1, -1]


# --- what a changed config means


def past_of(config: Config, parts=((0, 8),)) -> Past:
    return Past(run=RunFolder("r"), config=config, classes=(), identity=None, progress=Progress(parts))


def test_changed_batch_and_epochs_are_told_in_images():
    before = configs.override(VAE(), ["training.batch_size=8", "training.epochs=1"])
    now = configs.override(before, ["training.batch_size=16", "training.epochs=2"])
    line = past_of(before).in_words(now, start=15, total=23, steps_per_epoch=7, count=120)
    assert line == (
        "changed: training.batch_size 8 -> 16, training.epochs 1 -> 2; 120 images are done (1.07 epochs), and 8 steps "
        "of 16 follow"
    )


def test_prolonged_cosine_says_where_its_rate_jumps():
    before = configs.override(VAE(), ["training.steps=100", "training.lr=1e-4", "training.lr_schedule=cosine"])
    now = configs.override(before, ["training.steps=200"])
    line = past_of(before).in_words(now, start=100, total=200, steps_per_epoch=7, count=120)
    assert line.endswith("100 steps of 128 follow; the learning rate there was to be 0 and is 5e-05")
    assert 1e-4 * 0.5 * (1 + math.cos(math.pi / 2)) == pytest.approx(5e-05)


def test_what_says_nothing_of_the_steps_is_not_told():
    now = configs.override(VAE(), ["training.keep=1", "training.sample_every=3"])
    assert past_of(VAE()).in_words(now, start=3, total=9, steps_per_epoch=3, count=120) is None


def test_larger_batch_goes_on_with_the_images_that_are_left(
    straight, eventful, tmp_path, metrics_of, capsys, monkeypatch
):
    run = shutil.copytree(straight, tmp_path / "run")  # 6 steps of 8 images: 48
    changed = configs.override(eventful, ["training.steps=0", "training.epochs=1", "training.batch_size=400"])
    real, asked = data.batches("digits", 400, seed=0), []
    monkeypatch.setattr(type(real), "__getitem__", spy(type(real).__getitem__, asked))
    train(changed, run, resume=True)
    # 1,497 images are 3 whole batches of 400, so 1,200 in an epoch; 1,152 of them are left: 3 steps, from batch 0 on.
    assert sorted({step for step, size in asked if size == 400}) == [0, 1, 2]
    assert "48 images are done (0.04 epochs), and 3 steps of 400 follow" in capsys.readouterr().err
    assert [line["step"] for line in metrics_of(run) if "loss" in line][-4:] == [6, 7, 8, 9]
    environment = json.loads((run / "environment.json").read_text())
    assert environment["batch_size"] == 8 and environment["resumed"] == [{"step": 6, "batch_size": 400}]
    before = (run / "config.toml").read_bytes(), (run / "environment.json").read_bytes()
    train(configs.override(changed, ["training.lr=0.5"]), run, resume=True)
    assert "is finished: step 9 of 9; its config stays as it was; for more: " in capsys.readouterr().err
    assert before == ((run / "config.toml").read_bytes(), (run / "environment.json").read_bytes())


def spy(getitem, asked):
    """The batches that were asked for, and their sizes, besides what they are."""

    def item(self, step):
        images, labels = getitem(self, step)
        asked.append((step, len(images)))
        return images, labels

    return item


def test_finished_run_keeps_its_config_whatever_is_asked_for_and_says_so(straight, eventful, tmp_path, capsys):
    run = shutil.copytree(straight, tmp_path / "run")
    before = (run / "config.toml").read_bytes()
    train(configs.override(eventful, ["training.keep=1"]), run, resume=True)
    assert (run / "config.toml").read_bytes() == before
    assert "is finished: step 6 of 6; its config stays as it was" in capsys.readouterr().err


def test_path_of_the_data_is_stored_absolute(pets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_of(pets)
    relative = dataclasses.replace(config, data=dataclasses.replace(config.data, dataset="folder:pets"))
    train(configs.override(relative, ["training.steps=1", "training.sample_count=1"]), tmp_path / "run")
    assert RunFolder(tmp_path / "run").config().data.dataset == f"folder:{pets}"
    record = RunFolder(tmp_path / "run").data_record()
    assert Identity.from_dict(record) == open_data(config, None)[0].identity
