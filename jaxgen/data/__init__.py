"""Datasets by name: images as uint8 arrays, and batches as a function of the step.

>>> train = load("digits")  # train.images: uint8 [1497, 8, 8, 1]
>>> images, labels = batches(train, 64, seed=0)[1000]  # always the same
>>> large = batches("folder:holiday", 64, seed=0, size=64, channels=3)
"""

from jaxgen.data.batches import Batches
from jaxgen.data.catalog import absolute, batches, get, info, load, measures, names, source
from jaxgen.data.dataset import Dataset, DatasetInfo
from jaxgen.data.forms import FORMS, OwnData

__all__ = [
    "FORMS", "Batches", "Dataset", "DatasetInfo", "OwnData", "absolute", "batches", "get", "info", "load", "measures",
    "names", "source",
]  # fmt: skip
