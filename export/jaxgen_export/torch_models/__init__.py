"""The networks once more, in PyTorch (NCHW inside): the independent reference, and what is exported.

Attribute names are those of jaxgen.models, so that weights cross by name; the code is written for PyTorch's readers.
"""

from __future__ import annotations

from jaxgen.config import ClassifierConfig, Config, GANConfig, UNetConfig, VAEConfig
from jaxgen_export.torch_models.base import ExportSpec, TorchModel
from jaxgen_export.torch_models.classifier import Classifier
from jaxgen_export.torch_models.gan import GAN
from jaxgen_export.torch_models.unet import UNet
from jaxgen_export.torch_models.vae import VAE

__all__ = ["TWINS", "Core", "Twin", "build", "encoder_core"]

# twin(config.model, size, channels)
TWINS: dict[type, type[TorchModel]] = {
    UNetConfig: UNet,
    VAEConfig: VAE,
    GANConfig: GAN,
    ClassifierConfig: Classifier,
}


def build(config: Config) -> TorchModel:
    """The twin of `jaxgen.models.network.build(config)`, in evaluation mode, weights not yet loaded."""
    twin = TWINS[type(config.model)](config.model, config.data.size, config.data.channels)
    return twin.eval().requires_grad_(False)


def encoder_core(config: Config) -> ExportSpec | None:
    """What the encoder's file is made around, of a model that has one."""
    return next((core for core in TWINS[type(config.model)].cores if core.kind == "encoder"), None)
