"""The presets: MODEL-DATASET[-variant] -> Config. `jaxgen presets` lists them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from jaxgen.config import (
    DDPM,
    GAN,
    VAE,
    Classifier,
    ClassifierConfig,
    Config,
    DataConfig,
    DiffusionConfig,
    Flow,
    FlowConfig,
    GANConfig,
    TrainingConfig,
    UNetConfig,
    VAEConfig,
)
from jaxgen.errors import lookup

DIGITS = DataConfig(dataset="digits", size=8, channels=1)
MNIST = DataConfig(dataset="mnist", size=28, channels=1)
PUNKS = DataConfig(dataset="cryptopunks", size=24, channels=3)

_DDPM_DIGITS = DDPM(
    name="ddpm-digits",
    data=DIGITS,
    model=UNetConfig(channels=32, multipliers=(1, 2), blocks=1, attention=(4,)),
    diffusion=DiffusionConfig(schedule="cosine"),
    training=TrainingConfig(
        steps=3000, batch_size=128, lr=2e-3, lr_schedule="cosine", warmup=100, ema=0.995,
        checkpoint_every=1000, sample_every=1000,
    ),
)  # fmt: skip

_DDPM_MNIST = DDPM(
    name="ddpm-mnist",
    data=MNIST,
    model=UNetConfig(patch=2, channels=48, multipliers=(1, 2), blocks=1, attention=(7,)),
    diffusion=DiffusionConfig(schedule="cosine", prediction="v", sampler="dpmpp-2m", sampler_steps=16),
    training=TrainingConfig(
        steps=8000, batch_size=64, lr=1e-3, lr_schedule="cosine", warmup=200,
        checkpoint_every=500, sample_every=1000,
    ),
)  # fmt: skip

# The mini UNet of the tutorials: few channels, time embedding, no attention, T = 200.
_MINI = DDPM(
    name="ddpm-mnist-mini",
    data=MNIST,
    model=UNetConfig(channels=16, multipliers=(1, 2, 4), blocks=1),
    diffusion=DiffusionConfig(steps=200, schedule="linear", beta_start=1e-4, beta_end=0.02, sampler="ancestral"),
    training=TrainingConfig(
        epochs=5, batch_size=128, lr=2e-3, lr_schedule="cosine", warmup=200, checkpoint_every=500, sample_every=1000
    ),
)

# Three configurations for 16x16 MNIST from DDPM tutorials, which differ in T, learning rate and beta.
_MNIST16 = DDPM(
    name="ddpm-mnist16-baseline",
    data=replace(MNIST, size=16),
    model=UNetConfig(channels=32, multipliers=(1, 2, 4), blocks=1),
    diffusion=DiffusionConfig(steps=1000, schedule="linear", beta_start=1e-4, beta_end=0.02),
    training=TrainingConfig(epochs=100, batch_size=128, lr=3e-4, checkpoint_every=1000),
)

_DDPM_PUNKS = DDPM(
    name="ddpm-cryptopunks",
    data=PUNKS,
    model=replace(_DDPM_MNIST.model, attention=(6,)),
    diffusion=_DDPM_MNIST.diffusion,
    training=replace(_DDPM_MNIST.training, steps=6000),
)

_FLOW_MNIST = Flow(
    name="flow-mnist", data=MNIST, model=_DDPM_MNIST.model, flow=FlowConfig(), training=_DDPM_MNIST.training
)
_FLOW_DIGITS = Flow(
    name="flow-digits", data=DIGITS, model=_DDPM_DIGITS.model, flow=FlowConfig(), training=_DDPM_DIGITS.training
)

# VAE losses are sums over pixels, so their gradients are large and are not clipped.
_MLP = TrainingConfig(
    epochs=50, batch_size=128, lr=1e-3, grad_clip=0.0, log_every=100, sample_every=2340, test_images=0
)
_VAE_MNIST = VAE(name="vae-mnist", data=MNIST, model=VAEConfig(hidden=(400,), latent=20), training=_MLP)
_CVAE_MNIST = VAE(
    name="cvae-mnist",
    data=MNIST,
    model=VAEConfig(hidden=(512, 256), latent=20, classes=10, encoder_label=True),
    training=_MLP,
)
_VAE_DIGITS = VAE(
    name="vae-digits",
    data=DIGITS,
    model=VAEConfig(hidden=(256, 128), latent=8),
    training=replace(_MLP, epochs=300, checkpoint_epochs=50, sample_every=1000),
)

_ADVERSARIAL = TrainingConfig(
    epochs=5, batch_size=64, lr=5e-4, lr_schedule="linear", beta1=0.5, grad_clip=0.0, ema=0.999, log_every=50
)
_GAN_MNIST = GAN(name="gan-mnist", data=MNIST, model=GANConfig(widths=(128, 64, 16)), training=_ADVERSARIAL)
_GAN_DIGITS = GAN(
    name="gan-digits",
    data=DIGITS,
    model=GANConfig(latent=32, widths=(64, 32), doublings=1),
    training=replace(_ADVERSARIAL, epochs=200, checkpoint_epochs=50, sample_every=500),
)
_DCGAN_PUNKS = GAN(
    name="dcgan-cryptopunks",
    data=PUNKS,
    model=GANConfig(
        latent=100, widths=(256, 128, 64), doublings=3, generator_norm="batch", discriminator_norm="batch",
        dropout=0.0,
    ),
    training=replace(_ADVERSARIAL, epochs=60, lr=2e-4, lr_schedule="constant"),
)  # fmt: skip

_CLASSIFIER_MNIST = Classifier(
    name="classifier-mnist",
    data=MNIST,
    model=ClassifierConfig(widths=(48, 96), shift=2),
    training=TrainingConfig(epochs=20, batch_size=128, lr=1e-3, lr_schedule="cosine", checkpoint_epochs=1),
)


def _variant(base: Config, name: str, **sections: dict[str, object]) -> Config:
    """`base` under another name, with some fields of some sections replaced."""
    changed: dict[str, Any] = {key: replace(getattr(base, key), **fields) for key, fields in sections.items()}
    return replace(base, name=name, **changed)


PRESETS: dict[str, Config] = {
    config.name: config
    for config in (
        _VAE_DIGITS,
        _VAE_MNIST,
        _variant(_VAE_MNIST, "vae-mnist-conv", model={"convolutions": (32, 64), "hidden": (256,)}),
        _variant(_VAE_MNIST, "vae-mnist-plane", model={"latent": 2, "hidden": (512, 256)}),
        _variant(_VAE_DIGITS, "cvae-digits", model={"classes": 10, "encoder_label": True}),
        _CVAE_MNIST,
        # The layers of most CVAEs that are published: 794-400-20 and 30-400-784.
        _variant(_CVAE_MNIST, "cvae-mnist-400", model={"hidden": (400,)}),
        # As some are published: the encoder does not see the class, so z holds it too, and may contradict the label.
        _variant(_CVAE_MNIST, "cvae-mnist-blind", model={"encoder_label": False}),
        _GAN_DIGITS,
        _GAN_MNIST,
        _variant(_GAN_DIGITS, "cgan-digits", model={"classes": 10}),
        _variant(_GAN_MNIST, "cgan-mnist", model={"classes": 10}),
        _DCGAN_PUNKS,
        _DDPM_DIGITS,
        _DDPM_MNIST,
        _variant(_DDPM_MNIST, "ddpm-fashion_mnist", data={"dataset": "fashion_mnist"}),
        _MINI,
        _MNIST16,
        _variant(_MNIST16, "ddpm-mnist16-fast", diffusion={"steps": 300}),
        _variant(_MNIST16, "ddpm-mnist16-precise", diffusion={"beta_end": 0.01}, training={"lr": 2e-4}),
        _DDPM_PUNKS,
        _variant(_DDPM_DIGITS, "cddpm-digits", model={"classes": 10}),
        # At guidance 1.5 its classifier reads 99 % of the digits as asked for, at the FID of no guidance.
        _variant(_DDPM_MNIST, "cddpm-mnist", model={"classes": 10}, diffusion={"guidance": 1.5}),
        _FLOW_DIGITS,
        _FLOW_MNIST,
        _variant(
            _CLASSIFIER_MNIST,
            "classifier-digits",
            data={"dataset": "digits", "size": 8},
            model={"widths": (32, 64), "shift": 0},
            training={"epochs": 60},
        ),
        _CLASSIFIER_MNIST,
    )
}


def preset(name: str) -> Config:
    """The preset of a name. Raises UsageError, with the nearest name, if there is none."""
    return lookup(PRESETS, name, "preset")


def model_names() -> list[str]:
    """The values of `--model`: a family, or a variant of one, such as cvae or dcgan."""
    return sorted({name.split("-")[0] for name in PRESETS})


def for_dataset(model_name: str, dataset: str, *, size: int = 32, channels: int = 3, class_count: int = 0) -> Config:
    """The model's preset for a dataset, else MODEL-mnist or the model's last preset, adapted to the dataset.

    size, channels, class_count: of the dataset, used only without its own preset; sizes are rounded so that the
    networks can halve them, and limited to 64, beyond which the networks are too small. Conditional models get the
    dataset's classes. Raises UsageError if there is no such model, or none of its presets fits.
    """
    lookup(dict.fromkeys(model_names()), model_name, "model")
    name = f"{model_name}-{dataset}"
    if name in PRESETS:
        return PRESETS[name]
    own = [config for key, config in PRESETS.items() if key.startswith(f"{model_name}-")]
    base = PRESETS.get(f"{model_name}-mnist", own[-1])
    size = min(max(4, round(size / 4) * 4), 64)
    model = base.model_changes(size)
    if base.class_count:
        model["classes"] = class_count or base.class_count
    return _variant(
        base, re.sub(r"[^\w.-]+", "-", name)[:100],
        data={"dataset": dataset, "size": size, "channels": channels}, model=model,
    )  # fmt: skip
