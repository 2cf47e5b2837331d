import pytest

from jaxgen import config as configs
from jaxgen.errors import UsageError
from jaxgen.presets import PRESETS, families, for_dataset, preset


def test_presets_go_by_their_own_name_of_family_dataset_variant():
    assert all(name == config.name for name, config in PRESETS.items())
    assert {name.split("-")[0] for name in PRESETS} == set(families()) == {"ddpm", "cddpm"}
    assert {"ddpm-digits", "ddpm-mnist", "cddpm-digits"} <= set(PRESETS)


@pytest.mark.parametrize(
    ("name", "steps", "lr", "beta_end"),
    [
        ("ddpm-mnist16-baseline", 1000, 3e-4, 0.02),
        ("ddpm-mnist16-fast", 300, 3e-4, 0.02),
        ("ddpm-mnist16-precise", 1000, 2e-4, 0.01),
    ],
)
def test_published_configurations_have_their_published_values(name, steps, lr, beta_end):
    config = preset(name)
    assert (config.diffusion.steps, config.training.lr, config.diffusion.beta_end) == (steps, lr, beta_end)
    assert (config.diffusion.schedule, config.diffusion.beta_start) == ("linear", 1e-4)
    assert (config.training.epochs, config.training.steps, config.training.batch_size) == (100, 0, 128)
    assert (config.data.dataset, config.data.size) == ("mnist", 16)


def test_mnist_is_trained_at_its_own_size():
    assert (preset("ddpm-mnist").data.size, preset("ddpm-digits").data.size) == (28, 8)


def test_class_conditional_preset_differs_in_its_classes_alone():
    changes = configs.differences(preset("ddpm-digits"), preset("cddpm-digits"))
    assert changes == {"name": ("ddpm-digits", "cddpm-digits"), "model.classes": (0, 10)}


def test_unknown_preset_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown preset 'ddpm-mnst' \(did you mean 'ddpm-mnist'\?\); choose from"):
        preset("ddpm-mnst")


def test_family_with_a_preset_for_the_dataset_takes_it():
    assert for_dataset("ddpm", "mnist", size=999, channels=3) is preset("ddpm-mnist")
    assert for_dataset("cddpm", "digits") is preset("cddpm-digits")


@pytest.mark.parametrize(("own", "served"), [(32, 32), (30, 32), (33, 32), (1, 4), (48, 48), (2000, 64)])
def test_family_without_a_preset_takes_the_datasets_own_size_in_reason(own, served):
    config = for_dataset("ddpm", "cifar10", size=own, channels=3)
    assert (config.name, config.data.dataset) == ("ddpm-cifar10", "cifar10")
    assert (config.data.size, config.data.channels) == (served, 3)
    assert config.model.attention == (served // 4,)
    assert config.training == preset("ddpm-mnist").training


@pytest.mark.parametrize("dataset", ["folder:/home/me/../my pictures", "emnist/letters:3.0.0", "folder:" + "x" * 300])
def test_name_made_from_a_dataset_is_fit_for_a_folder(dataset, tmp_path):
    config = for_dataset("ddpm", dataset)
    (tmp_path / config.name).mkdir()
    assert config.data.dataset == dataset


def test_unknown_family_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown model 'dppm' \(did you mean 'ddpm'\?\)"):
        for_dataset("dppm", "cifar10")
