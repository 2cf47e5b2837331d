from itertools import pairwise

import jax
import jax.numpy as jnp
import pytest

from jaxgen import config as configs
from jaxgen.config import Config
from jaxgen.config.presets import PRESETS, for_dataset, model_names, preset
from jaxgen.errors import UsageError
from jaxgen.models import network as networks
from jaxgen.models.network import Network

MODELS = {  # the family that a model's name means, and whether it is conditional
    "ddpm": ("ddpm", False),
    "cddpm": ("ddpm", True),
    "flow": ("flow", False),
    "vae": ("vae", False),
    "cvae": ("vae", True),
    "gan": ("gan", False),
    "cgan": ("gan", True),
    "dcgan": ("gan", False),
    "classifier": ("classifier", True),
}


def test_presets_go_by_their_own_name_of_model_dataset_variant():
    assert all(name == config.name for name, config in PRESETS.items())
    assert {name.split("-")[0] for name in PRESETS} == set(model_names()) == set(MODELS)
    for model_name in ("ddpm", "flow", "vae", "cvae", "gan", "cgan", "classifier"):
        assert {f"{model_name}-digits", f"{model_name}-mnist"} <= set(PRESETS)


@pytest.mark.parametrize("config", PRESETS.values(), ids=lambda config: config.name)
def test_preset_is_of_the_family_that_its_name_says(config):
    model_name, dataset = config.name.split("-")[:2]
    assert (config.family, bool(config.class_count)) == MODELS[model_name]
    assert config.data.dataset.startswith(dataset.removesuffix("16"))


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


def test_images_are_trained_at_their_own_size():
    assert (preset("ddpm-mnist").data.size, preset("ddpm-digits").data.size) == (28, 8)
    assert (preset("ddpm-cryptopunks").data.size, preset("dcgan-cryptopunks").data.size) == (24, 24)


def test_networks_of_cryptopunks_halve_24_pixels_to_6_and_to_3():
    unet, gan = preset("ddpm-cryptopunks").model, preset("dcgan-cryptopunks").model
    assert [24 // unet.patch // 2**level for level in range(len(unet.multipliers))] == [12, 6]
    assert unet.attention == (6,)
    assert 24 / 2**gan.doublings == 3 and len(gan.widths) == gan.doublings


def test_gan_of_another_size_doubles_as_often_as_that_can_be_halved():
    def doublings(size: int) -> int:
        return for_dataset("dcgan", "cifar10", size=size, channels=3).model.doublings

    assert {size: doublings(size) for size in (4, 12, 28, 32, 40, 64)} == {4: 2, 12: 2, 28: 2, 32: 3, 40: 3, 64: 3}


@pytest.mark.parametrize("name", ["ddpm-digits", "ddpm-mnist", "vae-digits", "gan-digits", "gan-mnist"])
def test_class_conditional_preset_differs_in_what_takes_the_class_alone(name):
    changes = configs.differences(preset(name), preset(f"c{name}"))
    more = {"model.encoder_label": (False, True)} if name.startswith("vae") else {}
    more |= {"diffusion.guidance": (1.0, 1.5)} if name == "ddpm-mnist" else {}
    assert changes == {"name": (name, f"c{name}"), "model.classes": (0, 10), **more}


def test_encoder_of_a_conditional_vae_takes_the_class_but_in_the_blind_one():
    told = {name for name, config in PRESETS.items() if config.encoder_label}
    assert told == {name for name in PRESETS if name.startswith("cvae-")} - {"cvae-mnist-blind"}
    changes = configs.differences(preset("cvae-mnist"), preset("cvae-mnist-blind"))
    assert changes.keys() == {"name", "model.encoder_label"}


def linear_layers(config: Config, *ways: str) -> list[list[tuple[int, ...]]]:
    """Inputs and outputs of the linear layers whose names begin so, in the order of the network."""
    shapes = abstract(config)[0]
    return [
        [leaf.shape for name, leaf in shapes.items() if name.startswith(way) and name.endswith(".kernel")]
        for way in ways
    ]


def abstract(config: Config) -> tuple[dict[str, jax.ShapeDtypeStruct], Network]:
    network = networks.build(config)
    return jax.eval_shape(network.init, jax.random.key(0)), network


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [
        ("vae-mnist", [784, 400], [20, 400, 784]),
        ("cvae-mnist", [784 + 10, 512, 256], [20 + 10, 256, 512, 784]),
        ("cvae-mnist-400", [794, 400], [30, 400, 784]),
        ("cvae-mnist-blind", [784, 512, 256], [20 + 10, 256, 512, 784]),
        ("vae-mnist-plane", [784, 512, 256], [2, 256, 512, 784]),
        ("vae-digits", [64, 256, 128], [8, 128, 256, 64]),
    ],
)
def test_autoencoders_have_their_published_layers(name, encoder, decoder):
    ways = ("encoder.hidden", "encoder.mean", "encoder.log_variance", "decoder.hidden", "decoder.out")
    *heads, hidden, out = linear_layers(preset(name), *ways)
    latent = preset(name).model.latent
    assert heads == [list(pairwise(encoder)), [(encoder[-1], latent)], [(encoder[-1], latent)]]
    assert [*hidden, *out] == list(pairwise(decoder))


@pytest.mark.parametrize("config", PRESETS.values(), ids=lambda config: config.name)
def test_network_of_a_preset_takes_and_gives_what_its_images_are(config):
    assert_fits(config)


FITS = set()  # networks that several presets have, looked at once


def assert_fits(config: Config) -> None:
    """Called, the network gives an image for an image's noise, or class scores for an image."""
    if (config.model, config.data.shape) in FITS:
        return
    params, network = abstract(config)
    noise, labels = jax.ShapeDtypeStruct((3, *config.noise_shape), jnp.float32), jnp.zeros(3, int)
    times = [jnp.zeros(3)] if config.process else []
    out = jax.eval_shape(network.apply, params, noise, *times, *([labels] if config.is_generator else []))
    assert out.shape == ((3, *config.data.shape) if config.is_generator else (3, config.class_count))
    assert out.dtype == jnp.float32 and {leaf.dtype for leaf in params.values()} == {jnp.dtype("float32")}
    FITS.add((config.model, config.data.shape))


@pytest.mark.parametrize("size", [4, 32])
@pytest.mark.parametrize("model_name", model_names())
def test_every_model_name_gives_a_network_for_any_dataset(model_name, size):
    config = for_dataset(model_name, "cifar10", size=size, channels=3, class_count=7)
    assert (config.data.dataset, config.data.channels) == ("cifar10", 3)
    assert config.name == f"{model_name}-cifar10" and config.class_count == (7 if MODELS[model_name][1] else 0)
    assert config.data.size == size
    if size == 4:  # the hardest to halve; a network takes seconds to look at
        assert_fits(config)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown preset 'ddpm-mnst' \(did you mean 'ddpm-mnist'\?\); choose from"):
        preset("ddpm-mnst")


def test_model_with_a_preset_for_the_dataset_takes_it():
    assert for_dataset("ddpm", "mnist", size=999, channels=3) is preset("ddpm-mnist")
    assert for_dataset("cddpm", "digits") is preset("cddpm-digits")


@pytest.mark.parametrize(("own", "served"), [(32, 32), (30, 32), (33, 32), (1, 4), (48, 48), (2000, 64)])
def test_model_without_a_preset_takes_the_datasets_own_size_in_reason(own, served):
    config = for_dataset("ddpm", "cifar10", size=own, channels=3)
    assert (config.name, config.data.dataset) == ("ddpm-cifar10", "cifar10")
    assert (config.data.size, config.data.channels) == (served, 3)
    assert config.model.attention == (served // 4,)
    assert config.training == preset("ddpm-mnist").training


@pytest.mark.parametrize("dataset", ["folder:/home/me/../my images", "emnist/letters:3.0.0", "folder:" + "x" * 300])
def test_name_made_from_a_dataset_is_fit_for_a_folder(dataset, tmp_path):
    config = for_dataset("ddpm", dataset)
    (tmp_path / config.name).mkdir()
    assert config.data.dataset == dataset


def test_unknown_model_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown model 'dppm' \(did you mean 'ddpm'\?\)"):
        for_dataset("dppm", "cifar10")
