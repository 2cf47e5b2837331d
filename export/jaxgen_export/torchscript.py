"""The model files in PyTorch, eager and as TorchScript, with the same contracts as the exported graphs.

Everything here stays within what `torch.jit.script` supports. TorchScript is deprecated upstream since PyTorch 2.11;
this is the only module that uses it.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from jaxgen.config import Config
from jaxgen.sampling import sampler_spec

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


def normals(k0: Tensor, k1: Tensor, noise_index: Tensor, counter: Tensor) -> Tensor:
    """Normals number `noise_index` of each key: k0, k1 [N, 1], counter [1, P] -> [N, P] float32."""
    zero = torch.zeros_like(counter)
    d0, d1 = threefry(k0, k1, torch.zeros_like(k0), noise_index)
    w0, w1 = threefry(d0, d1, zero, counter)
    fraction = ((w0 ^ w1) >> 9).float() * 2.0**-23
    return torch.erfinv(fraction * 2.0 - 0.99999994) * 1.41421356


def image_keys(seed: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """fold_in(key(seed), index), as two columns [N, 1] of words."""
    zero = torch.zeros_like(seed)[:, None]
    return threefry(zero, seed[:, None], zero, index[:, None])


def to_pixels(x: Tensor) -> Tensor:
    """[-1, 1] to uint8, to the nearest, ties to even."""
    return torch.clamp(torch.round((x + 1.0) * 127.5), 0.0, 255.0).to(torch.uint8)


class Sampler(nn.Module):
    """seed, index [N] int64, plan [S, 9], state [2, N or 0, H, W, C] -> images uint8 [N, H, W, C], state_out."""

    if TYPE_CHECKING:  # TorchScript does not know postponed annotations
        plan: Tensor

    def __init__(self, core: nn.Module, config: Config, plan: Tensor) -> None:
        super().__init__()
        self.core = core
        self.size, self.channels = config.data.size, config.data.channels
        self.register_buffer("plan", plan)

    def forward(
        self, seed: Tensor, index: Tensor, plan: Tensor | None = None, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.sample(seed, index, torch.full_like(seed, -1), torch.ones(()), plan, state)

    def sample(
        self, seed: Tensor, index: Tensor, label: Tensor, guidance: Tensor, plan: Tensor | None, state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The loop of jaxgen.sampling.plan.run."""
        shape = [seed.shape[0], self.size, self.size, self.channels]
        k0, k1 = image_keys(seed, index)
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
        return to_pixels(x), torch.stack([x, x0])

    def predict(self, x: Tensor, t: Tensor, label: Tensor, guidance: Tensor) -> Tensor:
        """The network's output with classifier-free guidance, which takes a second evaluation unless guidance is 1."""
        times = t.expand(x.shape[0])
        out = self.core(x, times, label)
        if bool(guidance == 1):
            return out
        plain = self.core(x, times, torch.full_like(label, -1))
        return plain + guidance * (out - plain)


class ConditionalSampler(Sampler):
    """A Sampler with label [N] int64 (-1: none) and guidance [] as the contract's third and fourth input."""

    def __init__(self, core: nn.Module, config: Config, plan: Tensor) -> None:
        super().__init__(core, config, plan)
        self.default_guidance = float(config.guidance)

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
        return self.sample(seed, index, label, scale, plan, state)


class LatentSampler(nn.Module):
    """seed, index [N] int64, latent [N or 0, D] -> images uint8 [N, H, W, C]: one evaluation on noise 0 or `latent`."""

    def __init__(self, core: nn.Module, config: Config) -> None:
        super().__init__()
        self.core = core
        self.latent = config.noise_shape[0]

    def forward(self, seed: Tensor, index: Tensor, latent: Tensor | None = None) -> Tensor:
        return self.sample(seed, index, torch.full_like(seed, -1), latent)

    def sample(self, seed: Tensor, index: Tensor, label: Tensor, latent: Tensor | None) -> Tensor:
        if latent is None or latent.numel() == 0:
            k0, k1 = image_keys(seed, index)
            z = normals(k0, k1, torch.zeros_like(k0), torch.arange(self.latent)[None])
        else:
            z = latent
        return to_pixels(self.core(z, label))


class ConditionalLatentSampler(LatentSampler):
    """A LatentSampler with label [N] int64 (-1: none) as the contract's third input."""

    def forward(  # type: ignore[override]
        self, seed: Tensor, index: Tensor, label: Tensor, latent: Tensor | None = None
    ) -> Tensor:
        return self.sample(seed, index, label, latent)


class Predictor(nn.Module):
    """images uint8 [N, H, W, C] -> the network's outputs on them in [-1, 1]: one tensor, or a tuple of several.

    label [N] int64 is for encoders that take it.
    """

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core = core

    def forward(self, images: Tensor, label: Tensor | None = None) -> Any:
        x = images.float() / 127.5 - 1.0
        return self.core(x) if label is None else self.core(x, label)


def sampler(core: nn.Module, config: Config) -> nn.Module:
    """The eager sampler around a core, its default plan, if any, included."""
    made: nn.Module
    if config.process is None:
        made = (ConditionalLatentSampler if config.class_count else LatentSampler)(core, config)
    else:
        plan = torch.from_numpy(sampler_spec.from_config(config))
        made = (ConditionalSampler if config.class_count else Sampler)(core, config, plan)
    return made.eval().requires_grad_(False)


def traced(module: nn.Module, example: Sequence[Tensor]) -> torch.jit.ScriptModule:
    """A module without loops or branches as TorchScript, for any batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the deprecation
        return torch.jit.trace(module, tuple(example))


def script(core: nn.Module, config: Config, example: Sequence[Tensor]) -> torch.jit.ScriptModule:
    """The sampler as TorchScript, which runs without jaxgen: its core traced, the loop around it scripted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(sampler(traced(core, example), config))


def dump(scripted: torch.jit.ScriptModule, manifest: Mapping[str, Any]) -> bytes:
    """The TorchScript file, with the manifest inside it as the extra file MANIFEST."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the deprecation
        torch.jit.save(scripted, stream, _extra_files={MANIFEST: json.dumps(manifest)})
    return stream.getvalue()
