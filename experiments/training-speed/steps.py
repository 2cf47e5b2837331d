"""Milliseconds a training step of several networks, in JAX and in PyTorch, in turns in one run.

    python experiments/training-speed/steps.py --preset ddpm-mnist --variant "patch=2 channels=64 multipliers=[1,2]"

Each `--variant` is the preset with other keys of its `model` section. The JAX side is the trainer's compiled step, with
a device per core as in `jaxgen train` (JAX_NUM_CPU_DEVICES=1: one device for all cores). The PyTorch side trains the
same layers, `jaxgen_export.torch_models`, in channels-last memory with Adam, clipping and the average of the weights.
Every side does one step a round, so that a machine that slows down slows all of them. The ceilings are what this
machine reaches in one large matrix product and in one convolution of the network's size.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch

from jaxgen import config as configs
from jaxgen.config.presets import preset
from jaxgen.inference.benchmark import machine
from jaxgen.models import network
from jaxgen.sampling.sampler_spec import schedule_of
from jaxgen.training import distributed
from jaxgen.training.families import learner
from jaxgen.training.train_step import device_mesh, ema_decay, learning_rate, make_init, make_steps
from jaxgen_export import torch_models, weight_mapping

MAPS = ((28, 32), (14, 64), (7, 128))  # the sizes and widths of the presets' levels
WARM_UP = 3  # rounds that are not counted
Step = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="ddpm-mnist", help="a diffusion preset; default: %(default)s")
    parser.add_argument("--variant", action="append", default=[], metavar="KEY=VALUE ...", help="of its model section")
    parser.add_argument("--batch", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    arguments = parser.parse_args()
    distributed.spread_over_cores(arguments.batch)
    base = configs.override(preset(arguments.preset), [f"training.batch_size={arguments.batch}"])
    variants = {"": base} | {
        variant: configs.override(base, [f"model.{setting}" for setting in variant.split()])
        for variant in arguments.variant
    }
    sides: dict[tuple[str, str], Step] = {}
    for name, config in variants.items():
        sides[name, "JAX"] = jax_step(config)
        sides[name, "PyTorch"] = torch_step(config)
    seconds = in_turns(sides, arguments.rounds)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    print(f"{machine()}, commit {commit.stdout.strip()}, batch {arguments.batch}, median of {arguments.rounds} rounds.")
    maps = ", ".join(f"{size}x{size} of {width} channels {convolution(size, width):.0f}" for size, width in MAPS)
    print(f"Ceilings in GFLOP/s: a matrix product {matrix_product():.0f}; 3x3 convolutions: {maps}.\n")
    print(
        "| model section | parameters | JAX, ms a step | images/s | PyTorch, ms | JAX / PyTorch | speed, preset = 1 |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, config in variants.items():
        ours, theirs = seconds[name, "JAX"], seconds[name, "PyTorch"]
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        gain = statistics.median(a / b for a, b in zip(seconds["", "JAX"], ours, strict=True))
        count = network.parameter_count(network.fresh(config))  # type: ignore[arg-type]
        median = statistics.median(ours)
        print(
            f"| `{name or 'the preset'}` | {count:,} | {1000 * median:.0f} | {arguments.batch / median:.0f} | "
            f"{1000 * statistics.median(theirs):.0f} | {ratio:.2f} | {gain:.2f} |"
        )


def in_turns(sides: dict[tuple[str, str], Step], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds of each side in each round."""
    taken: dict[tuple[str, str], list[float]] = {name: [] for name in sides}
    for turn in range(WARM_UP + rounds):
        for name, step in sides.items():
            start = time.perf_counter()
            step()
            if turn >= WARM_UP:
                taken[name].append(time.perf_counter() - start)
    return taken


def jax_step(config: configs.Config) -> Step:
    """One compiled step of the trainer; the state goes from one to the next."""
    mesh = device_mesh()
    learns = learner(config, network.build(config), learning_rate(config.training, 1000))
    state, steps = make_init(learns, mesh)(jax.random.key(0)), make_steps(learns.update, mesh)
    images, labels = batch(config)
    root = jax.random.key(0)

    def step() -> None:
        nonlocal state
        state, metrics = steps(state, images[None], labels[None], root)
        jax.block_until_ready((state, metrics))

    return step


def torch_step(config: configs.Config) -> Step:
    """The same objective, optimiser and average in PyTorch."""
    assert isinstance(config, configs.DDPM)
    training = config.training
    model = torch_models.build(config)
    weight_mapping.load_into(model, network.fresh(config))
    model = model.to(memory_format=torch.channels_last).train().requires_grad_(True)
    weights = list(model.parameters())
    average = [weight.detach().clone() for weight in weights]
    adam = torch.optim.Adam(weights, lr=training.lr, betas=(training.beta1, training.beta2))
    signal = torch.from_numpy(schedule_of(config.diffusion.process)).float()
    images, labels = batch(config)
    x0 = torch.from_numpy(images).float() / 127.5 - 1
    label = torch.from_numpy(labels).long()

    def step() -> None:
        t = torch.randint(len(signal), (len(x0),))
        eps, kept = torch.randn_like(x0), signal[t][:, None, None, None]
        out = model(kept.sqrt() * x0 + (1 - kept).sqrt() * eps, t.float(), label)
        loss = (out - eps).square().mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        if training.grad_clip:
            torch.nn.utils.clip_grad_norm_(weights, training.grad_clip)
        adam.step()
        decay = float(ema_decay(training.ema, jnp.asarray(1000)))
        torch._foreach_lerp_(average, [weight.detach() for weight in weights], 1 - decay)
        loss.item()

    return step


def batch(config: configs.Config) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    count = config.training.batch_size
    return rng.integers(0, 256, (count, *config.data.shape), np.uint8), rng.integers(
        0, max(config.class_count, 1), count, np.int32
    )


def matrix_product(size: int = 2048) -> float:
    """GFLOP/s of the faster library's float32 product of two square matrices."""
    a = torch.randn(size, size)
    return 2e-9 * size**3 / min(timed(lambda: a @ a) for _ in range(5))


def convolution(size: int, channels: int, count: int = 64) -> float:
    """GFLOP/s of PyTorch's forward 3x3 convolution in channels-last memory."""
    x = torch.randn(count, channels, size, size).to(memory_format=torch.channels_last)
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2e-9 * count * size**2 * 9 * channels**2 / min(timed(lambda: layer(x)) for _ in range(9))


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
