"""jaxgen.models.classifier in PyTorch."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from jaxgen.config import ClassifierConfig
from jaxgen_export.torch_models.base import ExportSpec, TorchModel, channels_first, halving


class Classifier(TorchModel):
    """Images x [B, H, W, C] in [-1, 1] to logits [B, classes]."""

    cores = (ExportSpec("classifier", lambda model: model, "__call__", ("x",), ("logits",)),)

    def __init__(self, config: ClassifierConfig, size: int, channels: int) -> None:
        super().__init__()
        maps = [channels, *config.widths]
        self.layers = nn.ModuleList([halving(a, b) for a, b in itertools.pairwise(maps)])
        self.linear = nn.Linear(maps[-1] * (size >> len(config.widths)) ** 2, config.features)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.features, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        h = channels_first(x)
        for layer in self.layers:
            h = F.relu(layer(h))
        return self.out(self.dropout(F.relu(self.linear(h.flatten(1)))))
