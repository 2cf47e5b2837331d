"""Data loading of a run: training batches, and the test images of its test loss."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxgen import data
from jaxgen.config import Config
from jaxgen.data.batches import Batch
from jaxgen.errors import UsageError
from jaxgen.training.resuming import Past, renamed


def open_data(
    config: Config, data_dir: Path | None, past: Past | None = None
) -> tuple[data.Batches, Batch | None]:  # fmt: skip
    """This process' training batches, and a fixed batch of up to `training.test_images` images of the test split.

    The second is None without a test split. past: of a run that goes on, whose class names both then have.
    Raises UsageError if the classes of data and network differ, or if these are not the data of the past.
    """
    if past:
        past.require_place(config.data.dataset)
    batches, test = _opened(config, data_dir)
    numbers = past.same_data(batches, config) if past else None
    if past and numbers is not None:
        batches, test = renamed(batches, test, past, numbers)
    if config.class_count not in (0, len(batches.classes)):
        raise _class_mismatch(config, len(batches.classes))
    return batches, test


def _opened(config: Config, data_dir: Path | None) -> tuple[data.Batches, Batch | None]:
    name = config.data.source
    size, channels = config.data.size, config.data.channels
    load = partial(data.batches, data_dir=data_dir, size=size, channels=channels, labelled=config.class_count > 0)
    batches = load(
        _source(config, "train", data_dir), config.training.batch_size, seed=config.training.seed,
        process_index=jax.process_index(), process_count=jax.process_count(),
    )  # fmt: skip
    if "test" not in data.info(name, data_dir=data_dir).splits:
        return batches, None
    test = _source(config, "test", data_dir)
    available = len(test) if isinstance(test, data.Dataset) else data.info(name, data_dir=data_dir).splits["test"]
    count = min(available, config.training.test_images or available)
    # A shuffled batch: the first rows of a dataset sorted by class would be of one class.
    return batches, load(test, count, seed=0, split="test")[0] if count else None


def _class_mismatch(config: Config, found: int) -> UsageError:
    """The error if the network and the data have different classes, with what to do about it."""
    line = f"model.classes is {config.class_count}, but {config.data.dataset} has {found or 'no'} classes"
    if found:
        return UsageError(f"{line}; set model.classes={found}")
    ways = [f"use --model {config.family}"] if config.is_generator else []
    ways += ["put the images into one subfolder a class"] if config.data.dataset.startswith("folder:") else []
    return UsageError(f"{line}; {', or '.join(ways) or 'choose another dataset'}")


def _source(config: Config, split: str, data_dir: Path | None) -> str | data.Dataset:
    """The source of batches: a dataset's name, or a dataset in memory if classes are left out."""
    return load_split(config, split, data_dir) if config.data.without else config.data.source


def load_split(config: Config, split: str, data_dir: Path | None) -> data.Dataset:
    """One split in memory, without the classes that are left out. Raises UsageError for one of these that it lacks."""
    name, without = config.data.source, config.data.without
    whole = data.load(name, split, data_dir=data_dir, size=config.data.size, channels=config.data.channels)
    if not without:
        return whole
    if unknown := [label for label in without if label >= len(whole.classes)]:
        has = f"classes 0 to {len(whole.classes) - 1}" if whole.classes else "no classes"
        raise UsageError(f"data.without names class {unknown[0]}, but {name} has {has}; set data.without accordingly")
    kept = ~np.isin(whole.labels, without)
    return replace(whole, images=whole.images[kept], labels=whole.labels[kept])
