"""The embedded default dataset: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxgen.data.dataset import Dataset, DatasetInfo
from jaxgen.errors import extra, lookup

TEST_PER_CLASS = 30
CLASSES = tuple("0123456789")


class Digits:
    """The digits of scikit-learn, which need no download and no folder."""

    def info(self, data_dir: Path | None) -> DatasetInfo:
        return DatasetInfo(
            name="digits",
            title="8x8 handwritten digits, embedded in scikit-learn",
            source="E. Alpaydin and C. Kaynak, UCI repository of machine learning datasets, 1998; CC BY 4.0",
            shape=(8, 8, 1),
            classes=CLASSES,
            splits={"train": 1497, "test": 300},
            ready=True,
        )

    def get(self, data_dir: Path | None) -> None:
        return None

    def open(self, split: str, data_dir: Path | None) -> Dataset:
        with extra("train"):
            from sklearn.datasets import load_digits
        raw = load_digits()
        images = ((raw.images.astype(np.int32) * 255 + 8) // 16).astype(np.uint8)[..., None]  # 0..16 -> 0..255
        labels = raw.target.astype(np.int32)
        test = _test_rows(labels)
        rows = lookup({"train": np.setdiff1d(np.arange(len(labels)), test), "test": test}, split, "split of digits")
        return Dataset(images[rows], labels[rows], CLASSES)


def _test_rows(labels: np.ndarray) -> np.ndarray:
    """Thirty rows of each class, ascending and evenly spaced, because neighbours in the file are by the same writer."""
    picks = [_evenly(np.flatnonzero(labels == label), TEST_PER_CLASS) for label in range(len(CLASSES))]
    return np.sort(np.concatenate(picks))


def _evenly(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.arange(count) * len(rows) // count]
