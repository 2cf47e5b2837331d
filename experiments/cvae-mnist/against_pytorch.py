"""Seconds an epoch of cvae-mnist: jaxgen's, and two PyTorch loops over a DataLoader, in turns in one run.

    python experiments/cvae-mnist/against_pytorch.py --data-dir ~/mnist --repeats 3

The PyTorch sides have the same layers, Adam, summed BCE + KL, batch 128, a shuffling DataLoader and one step at a time.
`tensors` reads a TensorDataset of floats made once; `images` what tutorials read: a dataset that makes a Pillow image
of each image, and a transform that makes a tensor of that, as torchvision's MNIST and ToTensor do.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from jaxgen import data
from jaxgen.config.presets import preset
from jaxgen.models import network
from jaxgen.training.families import learner
from jaxgen.training.train_step import device_mesh, learning_rate, make_init, make_steps

CONFIG = preset("cvae-mnist")
BATCH = CONFIG.training.batch_size


class CVAE(nn.Module):
    """(784 + 10)-512-256-(20, 20) and (20 + 10)-256-512-784."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(794, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(256, 20), nn.Linear(256, 20)
        self.decoder = nn.Sequential(
            nn.Linear(30, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 784), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        one_hot = F.one_hot(label, 10).float()
        h = self.encoder(torch.cat([x, one_hot], 1))
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        return self.decoder(torch.cat([z, one_hot], 1)), mean, log_variance


class Images(Dataset):
    """Pillow images, each made a float tensor when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = torch.from_numpy(images[..., 0]), torch.from_numpy(labels).long()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self.images[index].numpy())
        pixels = torch.from_numpy(np.array(image, copy=True)).float().div(255)
        return pixels.reshape(-1), int(self.labels[index])


def tensors(images: np.ndarray, labels: np.ndarray) -> Dataset:
    """All pixels as floats, made once."""
    return TensorDataset(torch.from_numpy(images.reshape(-1, 784)).float() / 255, torch.from_numpy(labels).long())


def pytorch_epoch(dataset: Dataset) -> Callable[[], float]:
    """One call an epoch; it gives the mean loss an image."""
    loader = DataLoader(dataset, BATCH, shuffle=True, drop_last=True)
    model = CVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def epoch() -> float:
        total = 0.0
        for x, label in loader:
            again, mean, log_variance = model(x, label)
            kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = (F.binary_cross_entropy(again, x, reduction="sum") + kl) / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / len(loader)

    return epoch


def jaxgen_epoch(images: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    """The same with jaxgen's own batches and compiled epoch; gathering the batches is part of what is timed."""
    batches = data.batches(data.Dataset(images, labels), BATCH, seed=0)
    schedule = learning_rate(CONFIG.training, 1)
    learns = learner(CONFIG, network.build(CONFIG), schedule)
    mesh, root = device_mesh(), jax.random.key(0)
    steps = make_steps(learns.update, mesh)
    count = batches.steps_per_epoch
    state = make_init(learns, mesh)(root)
    done = 0

    def epoch() -> float:
        nonlocal state, done
        xs, ys = zip(*(batches[done + i] for i in range(count)), strict=True)
        state, metrics = steps(state, jnp.asarray(np.stack(xs)), jnp.asarray(np.stack(ys)), root)
        done += count
        return float(metrics["loss"].mean())

    return epoch


def least_seconds() -> float:
    """What an epoch would take if it were its matrix products alone, at the speed of the largest of them here.

    Each weight is multiplied with each image three times: forward, and backward for its own gradient and its input's.
    """
    rows, columns = jnp.ones((BATCH, 794)), jnp.ones((794, 512))
    product = jax.jit(jnp.matmul)
    product(rows, columns).block_until_ready()
    taken = []
    for _ in range(200):
        begin = time.perf_counter()
        product(rows, columns).block_until_ready()
        taken.append(time.perf_counter() - begin)
    weights = (794 + 784) * 512 + 2 * 512 * 256 + 256 * (20 + 20 + 20 + 10)
    return 3 * weights / (794 * 512) * statistics.median(taken) * (60_000 // BATCH)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data-dir", type=Path)
    options.add_argument("--repeats", type=int, default=3)
    given = options.parse_args()
    train = data.load("mnist", data_dir=given.data_dir)
    epochs = {
        "jaxgen": jaxgen_epoch(train.images, train.labels),
        "pytorch, tensors": pytorch_epoch(tensors(train.images, train.labels)),
        "pytorch, images": pytorch_epoch(Images(train.images, train.labels)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for repeat in range(given.repeats + 1):
        for name, epoch in epochs.items():
            begin = time.perf_counter()
            loss = epoch()
            if repeat:  # the first one compiles
                seconds[name].append(time.perf_counter() - begin)
            print(f"{name} epoch {repeat + 1}: loss {loss:.1f}", flush=True)
    for name, taken in seconds.items():
        print(f"{name}: {statistics.median(taken):.2f} s an epoch (median of {len(taken)})")
    print(f"matrix products alone, at the speed of one of them: {least_seconds():.2f} s")
    for name, taken in list(seconds.items())[1:]:
        ratios = [slow / fast for slow, fast in zip(taken, seconds["jaxgen"], strict=True)]
        print(f"{name} / jaxgen: {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
