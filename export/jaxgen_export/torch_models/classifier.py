"""jaxgen.models.classifier in PyTorch."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from jaxgen.config import ClassifierConfig
from jaxgen_export.torch_models.base import ExportSpec, TorchModel, channels_first, halving


class Reading(nn.Module):
    """A classifier's logits [B, classes] and features [B, features]."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model.features(x)
        return self.model.out(features), features


class Classifier(TorchModel):
    """Images x [B, H, W, C] in [-1, 1] to logits [B, classes]."""

    cores = (ExportSpec("classifier", Reading, "read", ("x",), ("logits", "features")),)

    def __init__(self, config: ClassifierConfig, size: int, channels: int) -> None:
        super().__init__()
        maps = [channels, *config.widths]
        self.layers = nn.ModuleList([halving(a, b) for a, b in itertools.pairwise(maps)])
        self.linear = nn.Linear(maps[-1] * (size >> len(config.widths)) ** 2, config.features)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.features, config.classes)

    def features(self, x: Tensor) -> Tensor:
        h = channels_first(x)
        for layer in self.layers:
            h = F.relu(layer(h))
        return F.relu(self.linear(h.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.dropout(self.features(x)))
