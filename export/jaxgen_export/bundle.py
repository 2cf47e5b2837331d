"""Build the parts of an exported file: its ONNX graph and the same model in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

from jaxgen.config import Config
from jaxgen.sampling import sampler_spec
from jaxgen_export import torchscript
from jaxgen_export.graphs import compose
from jaxgen_export.graphs.decoder import latent_text
from jaxgen_export.graphs.encoder import reader_text
from jaxgen_export.graphs.sampler import sampler_text
from jaxgen_export.torch_models import ExportSpec, TorchModel


@dataclass(frozen=True)
class Bundle:
    """module: the core in PyTorch, its weights loaded; graph: the same in ONNX; model: the whole file."""

    config: Config
    core: ExportSpec
    module: nn.Module
    graph: ModelProto
    model: ModelProto

    @cached_property
    def eager(self) -> nn.Module:
        """The whole file in PyTorch."""
        if self.core.reads:
            return torchscript.Predictor(self.module).eval()
        return torchscript.sampler(self.module, self.config)

    @cached_property
    def scripted(self) -> torch.jit.ScriptModule:
        """The whole file as TorchScript."""
        if self.core.reads:
            _, *label = example(self.core, self.config).values()
            pixels = torch.zeros(2, *self.config.data.shape, dtype=torch.uint8)
            return torchscript.traced(self.eager, [pixels, *label])
        return torchscript.script(self.module, self.config, list(example(self.core, self.config).values()))


def build(torch_model: TorchModel, core: ExportSpec, config: Config) -> Bundle:
    """Build the file around one of a model's cores."""
    module = core.part(torch_model).eval()
    inputs = example(core, config)
    graph = compose.export_core(module, inputs, core.outputs, unused=() if config.class_count else ("label",))
    text, defaults = _text(module, core, config)
    return Bundle(config, core, module, graph, compose.compose(text, graph, defaults))


def with_graph(made: Bundle, graph: ModelProto) -> Bundle:
    """The same file around another graph of the network."""
    text, defaults = _text(made.module, made.core, made.config)
    return replace(made, graph=graph, model=compose.compose(text, graph, defaults))


def example(core: ExportSpec, config: Config) -> dict[str, Tensor]:
    """Example inputs by name, with a batch of 2."""
    inputs = {
        "x": torch.zeros(2, *config.data.shape),
        "z": torch.zeros(2, *config.noise_shape),
        "t": torch.zeros(2),
        "label": torch.full((2,), -1),
    }
    if core.reads and not config.encoder_label:
        del inputs["label"]
    return {name: inputs[name] for name in core.inputs if name in inputs}


def _text(module: nn.Module, core: ExportSpec, config: Config) -> tuple[str, dict[str, np.ndarray]]:
    """The contract as text, and the defaults of its inputs."""
    shape = config.data.shape
    if core.reads:
        result = module(*example(core, config).values())
        values = result if isinstance(result, tuple) else (result,)
        widths = {name: value.shape[1] for name, value in zip(core.outputs, values, strict=True)}
        return reader_text(shape, widths, config.encoder_label), {}
    if config.process is None:
        (latent,) = config.noise_shape
        return latent_text(shape, latent, config.class_count > 0), {"latent": np.zeros((0, latent))}
    guidance = float(config.guidance) if config.class_count else None
    return sampler_text(shape, guidance), {"plan": sampler_spec.from_config(config), "state": np.zeros((2, 0, *shape))}
