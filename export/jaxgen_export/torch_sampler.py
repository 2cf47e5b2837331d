"""The sampler in PyTorch, eager and as TorchScript: the exported graph's contract, word for word.

Everything here stays within what `torch.jit.script` understands. TorchScript is deprecated upstream since PyTorch 2.11;
this is the one module that knows it.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from jaxgen.config import Config
from jaxgen.files import write_atomically

MANIFEST = "manifest.json"  # the extra file inside a TorchScript archive


def threefry(k0: Tensor, k1: Tensor, c0: Tensor, c1: Tensor) -> tuple[Tensor, Tensor]:
    """Threefry-2x32 of Salmon et al. 2011 on 32-bit words held in int64, broadcast against each other."""
    word = 0xFFFFFFFF
    keys = [k0, k1, k0 ^ k1 ^ 0x1BD11BDA]
    rotations = [[13, 15, 26, 6], [17, 29, 16, 24]]
    a, b = (c0 + k0) & word, (c1 + k1) & word
    for block in range(5):
        for rotation in rotations[block % 2]:
            a = (a + b) & word
            b = (((b << rotation) | (b >> (32 - rotation))) & word) ^ a
        a = (a + keys[(block + 1) % 3]) & word
        b = (b + keys[(block + 2) % 3] + (block + 1)) & word
    return a, b


def normals(k0: Tensor, k1: Tensor, draw: Tensor, counter: Tensor) -> Tensor:
    """Normal number `draw` of each key: k0, k1 [N, 1], counter [1, P] -> [N, P] float32."""
    zero = torch.zeros_like(counter)
    d0, d1 = threefry(k0, k1, torch.zeros_like(k0), draw)
    w0, w1 = threefry(d0, d1, zero, counter)
    fraction = ((w0 ^ w1) >> 9).float() * 2.0**-23
    return torch.erfinv(fraction * 2.0 - 0.99999994) * 1.41421356


class Sampler(nn.Module):
    """seed, index [N] int64, plan [S, 9], state [2, N or 0, H, W, C] -> images uint8 [N, H, W, C], state_out."""

    if TYPE_CHECKING:  # TorchScript does not know postponed annotations
        plan: Tensor

    def __init__(self, denoiser: nn.Module, config: Config, plan: Tensor) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.size, self.channels = config.data.size, config.data.channels
        self.register_buffer("plan", plan)

    def forward(
        self, seed: Tensor, index: Tensor, plan: Tensor | None = None, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.draw(seed, index, torch.full_like(seed, -1), torch.ones(()), plan, state)

    def draw(
        self, seed: Tensor, index: Tensor, label: Tensor, guidance: Tensor, plan: Tensor | None, state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The loop of jaxgen.plan.run."""
        shape = [seed.shape[0], self.size, self.size, self.channels]
        zero = torch.zeros_like(seed)[:, None]
        k0, k1 = threefry(zero, seed[:, None], zero, index[:, None])
        counter = torch.arange(self.size * self.size * self.channels)[None]
        if state is None or state.numel() == 0:
            x = normals(k0, k1, torch.zeros_like(k0), counter).reshape(shape)
            x0 = torch.zeros_like(x)
        else:
            x, x0 = state[0], state[1]
        for row in self.plan if plan is None else plan:
            t, x0_x, x0_out, clip, to_x, to_x0, to_x0_prev, to_noise, number = row.unbind()
            x0_prev = x0
            x0 = torch.clamp(x0_x * x + x0_out * self.predict(x, t, label, guidance), -clip, clip)
            x = to_x * x + to_x0 * x0 + to_x0_prev * x0_prev
            if bool(to_noise != 0):
                x = x + to_noise * normals(k0, k1, number.long(), counter).reshape(shape)
        images = torch.clamp(torch.round((x + 1.0) * 127.5), 0.0, 255.0).to(torch.uint8)
        return images, torch.stack([x, x0])

    def predict(self, x: Tensor, t: Tensor, label: Tensor, guidance: Tensor) -> Tensor:
        """The network's word, moved away from what it says without the label unless guidance is 1."""
        times = t.expand(x.shape[0])
        out = self.denoiser(x, times, label)
        if bool(guidance == 1):
            return out
        plain = self.denoiser(x, times, torch.full_like(label, -1))
        return plain + guidance * (out - plain)


class ConditionalSampler(Sampler):
    """As Sampler, with label [N] int64 (-1: none) and guidance [] as the contract's third and fourth input."""

    def __init__(self, denoiser: nn.Module, config: Config, plan: Tensor) -> None:
        super().__init__(denoiser, config, plan)
        self.default_guidance = float(config.diffusion.guidance)

    def forward(  # type: ignore[override]
        self,
        seed: Tensor,
        index: Tensor,
        label: Tensor,
        guidance: Tensor | None = None,
        plan: Tensor | None = None,
        state: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        scale = torch.tensor(self.default_guidance) if guidance is None else guidance
        return self.draw(seed, index, label, scale, plan, state)


def build(denoiser: nn.Module, config: Config, plan: Tensor) -> Sampler:
    """The eager sampler around a twin, its default plan included."""
    kind = ConditionalSampler if config.model.classes else Sampler
    return kind(denoiser, config, plan).eval().requires_grad_(False)


def script(sampler: Sampler, config: Config) -> torch.jit.ScriptModule:
    """The sampler as TorchScript: its denoiser traced, its loop scripted; runs without jaxgen."""
    example = (torch.zeros(2, *config.data.shape), torch.zeros(2), torch.full((2,), -1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the deprecation
        denoiser = torch.jit.trace(sampler.denoiser, example)
        kind = type(sampler)
        return torch.jit.script(kind(denoiser, config, sampler.plan).eval().requires_grad_(False))


def save(scripted: torch.jit.ScriptModule, path: Path, manifest: dict[str, Any]) -> None:
    """Write the TorchScript file atomically, the manifest inside it as the extra file MANIFEST."""
    extra = {MANIFEST: json.dumps(manifest)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the deprecation
        write_atomically(path, lambda stream: torch.jit.save(scripted, stream, _extra_files=extra))
