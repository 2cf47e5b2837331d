"""The pictures that a run reads: batches to train on, and the few that its test loss is measured on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxgen import data
from jaxgen.config import Config
from jaxgen.errors import UsageError

TEST_PICTURES = 512

Batch = tuple[np.ndarray, np.ndarray]  # uint8 [B, H, W, C], int32 [B]


def open_data(config: Config, data_dir: Path | None) -> tuple[data.Batches, Batch | None]:
    """This process' training batches, and up to TEST_PICTURES of the test split, the same ones at every call.

    The second is None if the set has no test split. Raises UsageError if the classes of data and network differ.
    """
    name, classes = config.data.dataset, config.classes
    size, channels = config.data.size, config.data.channels
    load = partial(data.batches, name, data_dir=data_dir, size=size, channels=channels)
    batches = load(
        config.training.batch_size, seed=config.training.seed,
        process_index=jax.process_index(), process_count=jax.process_count(),
    )  # fmt: skip
    if classes and classes != len(batches.classes):
        raise UsageError(f"model.classes is {classes}, but {name} has {len(batches.classes) or 'no'} classes")
    count = min(data.info(name, data_dir=data_dir).splits.get("test", 0), TEST_PICTURES)
    # A shuffled batch and not the first rows, which in a set that is sorted by class would be one class.
    return batches, load(count, seed=0, split="test")[0] if count else None
