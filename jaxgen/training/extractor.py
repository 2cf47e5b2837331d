"""Training an extractor of features for a dataset that none comes with: the recipe, and the run."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from jaxgen import config as configs, data
from jaxgen.config import VAE, Config, TrainingConfig, VAEConfig, presets
from jaxgen.errors import UsageError
from jaxgen.training.restore import Trained, load_trained
from jaxgen.training.trainer import train

STEPS = 3000  # as many as ten epochs of MNIST take are enough for small images
BATCH = 128
LATENT = 32  # features of an encoder


def recipe(dataset: str, *, shape: tuple[int, int, int] | None = None, data_dir: Path | None = None) -> Config:
    """The config of a dataset's extractor: a classifier if it has classes, else a convolutional VAE.

    shape: (H, W, C) of the images that it is to read, None: as `jaxgen train` reads the dataset. Raises UsageError if
    the images are not square, or of a size that the networks cannot halve twice.
    """
    size, depth = (shape[0], shape[2]) if shape else (None, None)
    whole = data.load(dataset, data_dir=data_dir, size=size, channels=depth)
    height, width, channels = shape or whole.images.shape[1:]
    if height != width:
        raise UsageError(f"an extractor reads square images, and these are {height}x{width}")
    classes = len(whole.classes) if (whole.labels >= 0).all() else 0
    base = presets.for_dataset(
        "classifier" if classes > 1 else "vae", dataset, size=height, channels=channels, class_count=classes
    )
    training = TrainingConfig(
        steps=STEPS, batch_size=min(BATCH, len(whole)), lr=1e-3, lr_schedule="cosine",
        checkpoint_every=max(1, STEPS // 3), sample_every=STEPS, grad_clip=base.training.grad_clip,
    )  # fmt: skip
    where = replace(base.data, dataset=dataset, without=())
    if shape:
        where = replace(where, size=height, channels=channels)
    named = replace(base, name=f"extractor-{base.name}"[:100], data=where, training=training)
    if isinstance(named, VAE):
        model = VAEConfig(latent=LATENT, hidden=(256,), convolutions=(32, 64), activation="silu")
        return replace(named, model=model)
    return named


def fit(config: Config, folder: Path, *, data_dir: Path | None = None) -> tuple[Trained, Path]:
    """Train, or go on with a run of this config that was interrupted; its weights, and its folder below `folder`.

    Raises as `jaxgen.training.trainer.train` does.
    """
    digest = hashlib.sha256(configs.dumps(config).encode()).hexdigest()
    run = folder / f"run-{digest[:12]}"
    train(config, run, data_dir=data_dir)
    return load_trained(run), run
