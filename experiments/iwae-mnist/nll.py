"""Test NLL of a trained VAE on binarised images, by importance weighting (Burda et al. 2016, section 5).

    python experiments/iwae-mnist/nll.py runs/vae-k1 --samples 5000 --images 1000 --data-dir ~/mnist

The estimate is log(mean of p(x, z) / q(z | x)) over `samples` draws of z from q(z | x), a lower bound on log p(x) that
is tight for many samples.
"""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import data
from jaxgen.models import network
from jaxgen.training.restore import load_trained
from jaxgen.training.vae import binarized, log_weights

CHUNK = 500  # samples of an image at a time
AT_ONCE = 20  # images at a time


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("run", type=Path)
    options.add_argument("--samples", type=int, default=5000)
    options.add_argument("--images", type=int, default=10_000)
    options.add_argument("--data-dir", type=Path)
    given = options.parse_args()
    trained = load_trained(given.run)
    config = trained.config
    test = data.load(config.data.dataset, "test", data_dir=given.data_dir)
    pixels = jnp.asarray(test.images[: given.images], jnp.float32) / 255
    x = binarized(pixels, key=jax.random.key(0))
    weigh = jax.jit(partial(log_weights, config, network.build(config)), static_argnames="samples")
    chunks = math.ceil(given.samples / CHUNK)
    found = []
    for start in range(0, len(x), AT_ONCE):
        part, labels = x[start : start + AT_ONCE], jnp.asarray(test.labels[start : start + AT_ONCE])
        keys = jax.random.split(jax.random.fold_in(jax.random.key(1), start), chunks)
        weights = [weigh(trained.params, part, labels, samples=CHUNK, key=key) for key in keys]
        found.append(jax.nn.logsumexp(jnp.concatenate(weights), axis=0) - math.log(CHUNK * chunks))
    nll = -np.concatenate([np.asarray(part) for part in found])
    error = nll.std() / math.sqrt(len(nll))
    print(f"NLL {nll.mean():.2f} +- {error:.2f} nats: {len(nll)} test images, {CHUNK * chunks} samples each")


if __name__ == "__main__":
    main()
