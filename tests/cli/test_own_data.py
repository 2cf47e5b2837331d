"""What train makes of data without a preset: their size, channels, classes and number, said in one line."""

import numpy as np
import pytest

from jaxgen.cli.own_data import adapted
from jaxgen.errors import UsageError


def save(path, shape, count=25, **more):
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % 5, **more)
    return f"npz:{path}"


@pytest.mark.parametrize(
    ("shape", "want"),
    [
        ((16, 16), (16, 16, 1)),
        ((16, 16, 3), (16, 16, 3)),
        ((30, 30), (32, 32, 1)),  # which the network can halve
        ((20, 36), (20, 20, 1)),
        ((100, 100, 3), (64, 64, 3)),
    ],
)
def test_size_and_channels_are_those_of_the_data_within_what_networks_halve(tmp_path, capsys, shape, want):
    config = adapted("ddpm", save(tmp_path / "a.npz", shape), None, ())
    assert config.data.shape == want and config.class_count == 0
    said = capsys.readouterr().err
    size, colour = "x".join(map(str, shape[:2])), "in colour" if len(shape) == 3 else "grey"
    assert f"a.npz: 23 training images of {size}, {colour}, 5 classes; trained at {'x'.join(map(str, want))} " in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["vae", "cvae", "gan", "cgan", "ddpm", "cddpm", "flow", "classifier"])
def test_every_model_has_the_classes_and_a_batch_of_the_data(tmp_path, name):
    config = adapted(name, save(tmp_path / "a.npz", (16, 16)), None, ())
    assert config.class_count in (0, 5) and (config.class_count == 5) == (name[0] == "c")
    assert config.data.shape == (16, 16, 1) and config.training.batch_size == 16  # of 23 images
    large = adapted(name, save(tmp_path / "b.npz", (16, 16), count=900), None, ())
    assert large.training.batch_size in (64, 128)


def test_settings_that_say_how_data_are_read_are_used_to_look_at_them(tmp_path):
    name = save(tmp_path / "a.npz", (16, 16), other=np.zeros((12, 8, 8), np.uint8), kind=np.arange(12) % 2)
    settings = ("data.images=other", "data.labels=kind", "training.lr=0.5")
    config = adapted("cvae", name, None, settings)
    assert config.data.shape == (8, 8, 1) and config.class_count == 2
    assert config.data.dataset == name and config.training.lr != 0.5  # they are applied later
    with pytest.raises(UsageError, match="unknown key"):
        adapted("vae", name, None, ("data.images=nothing",))


def test_source_of_a_config_has_all_that_is_said_of_the_data(tmp_path):
    from dataclasses import replace

    from jaxgen.config import DataConfig

    plain = DataConfig(dataset="npz:/a b.npz")
    assert plain.source == "npz:/a b.npz"
    said = replace(plain, images="x y", labels="k&k", transpose=True, white=15.0)
    assert said.source == "npz:/a b.npz?images=x+y&labels=k%26k&white=15&transpose=true"
    assert replace(plain, dataset="folder:/a?white=7", loose="ignore").source == "folder:/a?white=7&loose=ignore"
    from jaxgen import data

    name = save(tmp_path / "c.npz", (16, 16), **{"k&k": np.arange(25) % 2})
    assert data.info(replace(plain, dataset=name, labels="k&k").source).classes == ("0", "1")
