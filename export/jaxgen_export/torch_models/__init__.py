"""The networks in PyTorch (NCHW inside): an independent reference, and the source of the exported graphs.

Attribute names are those of jaxgen.models, so that weights map by name; the code follows PyTorch's style.
"""

from __future__ import annotations

from jaxgen.config import ClassifierConfig, Config, GANConfig, UNetConfig, VAEConfig
from jaxgen_export.torch_models.base import ExportSpec, TorchModel
from jaxgen_export.torch_models.classifier import Classifier
from jaxgen_export.torch_models.gan import GAN
from jaxgen_export.torch_models.unet import UNet
from jaxgen_export.torch_models.vae import VAE

__all__ = ["TORCH_MODELS", "ExportSpec", "TorchModel", "build", "encoder_core"]

# model(config.model, size, channels)
TORCH_MODELS: dict[type, type[TorchModel]] = {
    UNetConfig: UNet,
    VAEConfig: VAE,
    GANConfig: GAN,
    ClassifierConfig: Classifier,
}


def build(config: Config) -> TorchModel:
    """The PyTorch version of `jaxgen.models.network.build(config)`, in evaluation mode, its weights not loaded."""
    model = TORCH_MODELS[type(config.model)](config.model, config.data.size, config.data.channels)
    return model.eval().requires_grad_(False)


def encoder_core(config: Config) -> ExportSpec | None:
    """The encoder's export spec; None for a model without an encoder."""
    return next((core for core in TORCH_MODELS[type(config.model)].cores if core.kind == "encoder"), None)
