"""Base classes of the PyTorch models, which say what is exported, and layers that several models use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ExportSpec:
    """A function of a network that is exported to a file.

    kind: of the file: 'sampler', or that of a reader; part: the PyTorch module whose `forward` it is; method: the same
    function of the Flax network; inputs, outputs: their names in order, labels as the last input; an encoder reads
    them with `model.encoder_label` alone.
    """

    kind: str
    part: Callable[[Any], nn.Module]
    method: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def reads(self) -> bool:
        """Whether its input is an image to read, not noise to sample from."""
        return self.kind != "sampler"


class TorchModel(nn.Module):
    """A network. cores: that of its model file, then those of the files beside it.

    optional: the parts that only training needs, which weights may leave out.
    """

    cores: ClassVar[tuple[ExportSpec, ...]]
    optional: ClassVar[tuple[str, ...]] = ()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": nn.functional.silu,
}


def halving(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)


def doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


def channels_first(x: Tensor) -> Tensor:
    """[B, H, W, C] -> [B, C, H, W]."""
    return x.permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, H, W, C]."""
    return x.permute(0, 2, 3, 1)
