"""A plain recipe of diffusers for MNIST: UNet2DModel, epsilon, linear betas, AdamW, an EMA, and DDIM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel

BATCH, LR, DECAY, SAMPLER_STEPS = 64, 5e-4, 0.999, 50
SETTINGS = (
    "UNet2DModel(block_out_channels=(32, 64, 64), layers_per_block=2), epsilon, linear betas, "
    f"AdamW {LR:g}, batch {BATCH}, EMA {DECAY}, DDIM {SAMPLER_STEPS}"
)


class Recipe:
    """The model in training, step by step; `save` and `restore` make it go on where it was."""

    def __init__(self, images: np.ndarray, seed: int = 0) -> None:
        """images: uint8 [N, 28, 28, 1]."""
        torch.manual_seed(seed)
        self.images, self.seed, self.step_count = torch.from_numpy(images[:, None, :, :, 0]), seed, 0
        self.model = UNet2DModel(
            sample_size=28, in_channels=1, out_channels=1, layers_per_block=2, block_out_channels=(32, 64, 64),
            down_block_types=("DownBlock2D",) * 3, up_block_types=("UpBlock2D",) * 3,
        )  # fmt: skip
        self.noise = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear", prediction_type="epsilon")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LR)
        self.ema = EMAModel(self.model.parameters(), decay=DECAY)

    @property
    def parameters(self) -> int:
        return sum(weights.numel() for weights in self.model.parameters())

    def step(self) -> float:
        """One step and its loss. Its batch and noise depend on its number alone, so that a run can go on."""
        random = torch.Generator().manual_seed(self.seed * 2**32 + self.step_count)
        rows = torch.randint(len(self.images), (BATCH,), generator=random)
        x0 = self.images[rows].float() / 127.5 - 1
        eps = torch.randn(x0.shape, generator=random)
        t = torch.randint(1000, (BATCH,), generator=random)
        loss = F.mse_loss(self.model(self.noise.add_noise(x0, eps, t), t).sample, eps)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.ema.step(self.model.parameters())
        self.step_count += 1
        return loss.item()

    def save(self, path: Path) -> None:
        """As a whole or not at all."""
        parts = {"step": self.step_count, **{name: part.state_dict() for name, part in self._parts().items()}}
        torch.save(parts, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def restore(self, path: Path) -> None:
        parts = torch.load(path, weights_only=True)
        self.step_count = parts["step"]
        for name, part in self._parts().items():
            part.load_state_dict(parts[name])

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "ema": self.ema}

    def pipeline(self) -> DDIMPipeline:
        """With the averaged weights, which replace those in training."""
        self.ema.copy_to(self.model.parameters())
        pipeline = DDIMPipeline(self.model.eval(), DDIMScheduler.from_config(self.noise.config))
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def sample(pipeline: DDIMPipeline, count: int, seed: int) -> np.ndarray:
    """uint8 [count, 28, 28, 1] of a seed."""
    random = torch.Generator().manual_seed(seed)
    out = pipeline(batch_size=count, generator=random, num_inference_steps=SAMPLER_STEPS, output_type="np").images
    return np.rint(out * 255).astype(np.uint8).reshape(count, 28, 28, 1)


def batches(pipeline: DDIMPipeline, count: int, folder: Path, batch: int = 200) -> Iterator[np.ndarray]:
    """`count` images, some at a time; those that are in the folder from an earlier call are not sampled again."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, count, batch):
        path = folder / f"{first:06d}.npy"
        if not path.exists():
            np.save(folder / "new.npy", sample(pipeline, min(batch, count - first), seed=first))
            (folder / "new.npy").replace(path)
        yield np.load(path)[: count - first]
