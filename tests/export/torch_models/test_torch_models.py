"""The PyTorch networks against the Flax ones that they are twins of."""

import jax
import numpy as np
import pytest
import torch
from tiny import FAMILIES, random_weights

from jaxgen.config import DDPM, GAN, VAE, DataConfig, GANConfig, UNetConfig, VAEConfig
from jaxgen.models import network
from jaxgen_export import torch_models, weight_mapping

CONFIGS = FAMILIES | {
    "unet: three levels, attention on two": DDPM(
        data=DataConfig(size=16, channels=3),
        model=UNetConfig(
            channels=8, multipliers=(1, 2, 3), blocks=2, attention=(8, 4), heads=4, groups=2, classes=5, dropout=0.5
        ),
    ),
    "unet: patches of two": DDPM(
        data=DataConfig(size=8, channels=3),
        model=UNetConfig(channels=8, multipliers=(1, 2), patch=2, attention=(2,), groups=4),
    ),
    "unet: one level": DDPM(model=UNetConfig(channels=6, multipliers=(2,), blocks=3, groups=3)),
    "vae: the encoder takes the class, linear": VAE(
        data=DataConfig(channels=3), model=VAEConfig(latent=4, hidden=(12,), classes=5, encoder_label=True)
    ),
    "gan: the class as a plane, no doubling": GAN(
        data=DataConfig(channels=3),
        model=GANConfig(latent=4, widths=(6, 4), doublings=0, classes=3, embedding=2, conditioning="embedding"),
    ),
}

# Each function of a network, by the kind of its input: the Flax method, and the same in the twin.
FUNCTIONS = {
    torch_models.UNet: [("__call__", lambda twin: twin, "x t label")],
    torch_models.VAE: [
        ("encode", lambda twin: twin.encoder, "x label"),
        ("decode", lambda twin: twin.decoder, "z label"),
        ("__call__", torch_models.VAE.cores[0].part, "z label"),
    ],
    torch_models.GAN: [
        ("__call__", lambda twin: twin.generator, "z label"),
        ("discriminate", lambda twin: twin.discriminator, "x label"),
    ],
    torch_models.Classifier: [("__call__", lambda twin: twin, "x")],
}


def loaded(config):
    params, twin = random_weights(config), torch_models.build(config)
    weight_mapping.load_into(twin, params)
    return params, twin


def some_inputs(config, count=5):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, *config.data.shape)).astype(np.float32)
    x[1] = -1  # constant: normalisation amplifies rounding
    return {
        "x": x,
        "z": rng.standard_normal((count, *config.noise_shape)).astype(np.float32),
        "t": np.linspace(0, 999, count).astype(np.float32),
        "label": np.arange(count) % (config.class_count + 1) - 1,
    }


def outputs(value):
    return [np.asarray(part) for part in (value if isinstance(value, tuple) else (value,))]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_twin_says_what_the_network_says(config):
    params, twin = loaded(config)
    inputs = some_inputs(config)
    apply = network.build(config).apply
    for method, part, names in FUNCTIONS[type(twin)]:
        given = [inputs[name] for name in names.split()]
        want = outputs(jax.jit(lambda *values, m=method: apply(params, *values, method=m))(*given))
        found = outputs(part(twin)(*map(torch.from_numpy, given)))
        for a, b in zip(found, want, strict=True):
            assert np.abs(b).max() > 0.02
            assert b.std(axis=0).max() > 1e-3  # inputs count
            assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max(), method


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_label_counts_where_there_are_classes_alone(config):
    _, twin = loaded(config)
    inputs = {name: torch.from_numpy(value) for name, value in some_inputs(config).items()}
    for method, part, names in FUNCTIONS[type(twin)]:
        if "label" in names:
            function = part(twin)
            *others, label = (inputs[name] for name in names.split())
            one, other = (outputs(function(*others, given))[0] for given in (label, torch.full_like(label, 1)))
            changed = [bool((a != b).any()) for a, b in zip(one, other, strict=True)]
            counts = config.encoder_label if method == "encode" else config.class_count > 0
            assert changed == [counts and number != 1 for number in label.tolist()], names


def test_dropout_is_off():
    _, twin = loaded(FAMILIES["classifier"])
    x = torch.from_numpy(some_inputs(FAMILIES["classifier"])["x"])
    assert torch.equal(twin(x), twin(x))


def test_norms_go_by_running_statistics_and_not_by_the_batch():
    config = FAMILIES["gan"]
    _, twin = loaded(config)
    z = torch.from_numpy(some_inputs(config)["z"])
    label = torch.zeros(5, dtype=torch.int64)
    together = twin.generator(z, label)
    alone = torch.cat([twin.generator(z[i : i + 1], label[:1]) for i in range(5)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    norm = twin.generator.norms[0]
    h = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 8, 2, 2)).astype(np.float32))

    def column(value):
        return value[:, None, None]

    want = (h - column(norm.running_mean)) / torch.sqrt(column(norm.running_var) + 1e-5)
    np.testing.assert_allclose(norm(h), want * column(norm.weight) + column(norm.bias), rtol=1e-5, atol=1e-5)
