"""A tiny model of each family with random weights, and what comes of it when it is exported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
    UNetConfig,
    VAEConfig,
)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A tiny model of random weights, exported to every kind of file; encoder: a VAE's; network: not a classifier's."""

    config: Config
    params: dict[str, np.ndarray]
    classes: tuple[str, ...]
    onnx: Path
    encoder: Path
    network: Path
    torchscript: Path
    safetensors: Path
    state: Path
    manifest: dict[str, Any]


# What differs between the two is what might go wrong in one alone: channels, prediction, schedule, eta, guidance.
UNCONDITIONAL = DDPM(
    name="tiny",
    model=UNetConfig(channels=8, blocks=1, attention=(4,), heads=2, groups=4),
    diffusion=DiffusionConfig(steps=60, sampler_steps=10),
)
CONDITIONAL = DDPM(
    name="tiny-classes",
    data=DataConfig(channels=3),
    model=UNetConfig(channels=8, blocks=1, groups=4, classes=3),
    diffusion=DiffusionConfig(
        steps=50, schedule="cosine", prediction="v", sampler_steps=8, eta=0.5, guidance=1.5
    ),
)  # fmt: skip
CLASSES = ("ant", "2", "bee")  # one is named as another one's number

# One of each family besides; between them: classes or none, one channel or three, each activation, norm and resizing.
FAMILIES = {
    "flow": Flow(
        model=UNetConfig(channels=8, blocks=1, groups=4, classes=3), flow=FlowConfig(sampler_steps=6, guidance=1.5)
    ),
    "vae": VAE(model=VAEConfig(latent=3, hidden=(16, 12), activation="tanh", classes=3)),
    "vae-convolutional": VAE(
        data=DataConfig(channels=3), model=VAEConfig(latent=4, hidden=(16,), convolutions=(4, 8), activation="silu")
    ),
    "vae-label": VAE(model=VAEConfig(latent=3, hidden=(16,), convolutions=(4,), classes=3, encoder_label=True)),
    "gan": GAN(model=GANConfig(latent=5, widths=(8, 6, 4), embedding=4, generator_norm="batch", classes=3)),
    "gan-unconditional": GAN(
        data=DataConfig(channels=3), model=GANConfig(latent=7, widths=(8, 4), doublings=2, discriminator_norm="none")
    ),
    "classifier": Classifier(model=ClassifierConfig(widths=(4, 6), features=8, dropout=0.5, classes=3)),
}  # fmt: skip


def random_weights(config: Config) -> dict[str, np.ndarray]:
    """Fresh output layers are zero and would hide everything before them; these are not, and need no compiler."""
    import jax

    from jaxgen.models import network

    shapes, rng = jax.eval_shape(network.build(config).init, jax.random.key(0)), np.random.default_rng(0)

    def one(name: str, shape: tuple[int, ...]) -> np.ndarray:
        noise = rng.standard_normal(shape)
        if name.endswith((".scale", ".var")):
            return 1 + 0.1 * noise
        return noise / np.sqrt(np.prod(shape[:-1])) + 0.1 * noise if name.endswith(".kernel") else 0.1 * noise

    return {name: one(name, value.shape).astype(np.float32) for name, value in shapes.items()}


def exported(config: Config, classes: tuple[str, ...], folder: Path) -> Exported:
    """The model in every kind of file, in `folder`: made there by the first of the test processes that asks for it."""
    from filelock import FileLock

    from jaxgen.inference import model_file

    paths = {
        "torchscript": "model.ts", "safetensors": "weights.safetensors", "state": "state.pth", "network": "net.onnx",
    }  # fmt: skip
    places = {name: folder / file for name, file in paths.items()}
    params, onnx, encoder = random_weights(config), folder / "model.onnx", folder / "model.encoder.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "whole").exists():
            _export(config, params, classes, onnx, encoder, places)
            (folder / "whole").touch()
    manifest = model_file.read(onnx).manifest
    return Exported(
        config=config, params=params, classes=classes, onnx=onnx, encoder=encoder, manifest=manifest, **places
    )


def _export(
    config: Config, params: dict[str, np.ndarray], classes: tuple[str, ...], onnx: Path, encoder: Path,
    places: dict[str, Path],
) -> None:  # fmt: skip
    from jaxgen_export.export import OutputPaths, export_model

    beside = OutputPaths(
        encoder=encoder if isinstance(config, VAE) else None, torch=places["state"],
        torchscript=places["torchscript"], safetensors=places["safetensors"],
        network=places["network"] if config.is_generator else None,
    )  # fmt: skip
    training = {"dataset": "digits", "steps": 1234, "test_loss": None}
    export_model(config, params, onnx, classes=classes, training=training, beside=beside)
