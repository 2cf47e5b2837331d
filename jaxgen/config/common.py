"""The config sections that all families share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from jaxgen.config.schema import require

LARGEST = 2**31 - 1  # step counters are int32 on the device
RESUMABLE = {"resumable": True}  # metadata of a single key that a resumed run may change; False: of one that it may not


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    dataset: str = field(default="digits", metadata=RESUMABLE)  # a name of `jaxgen data list`, a path, or FORM:PATH
    images: str = ""  # the key or column of the images, where your own data have several
    labels: str = ""  # the key, column or file of the labels; none: without
    transpose: bool = False  # swap rows and columns of each image
    white: float = 0.0  # the value of a white pixel, where it is not 255; 0: by the file
    loose: Literal["refuse", "ignore"] = "refuse"  # what to do with images beside the folders of classes
    size: int = 8  # pixels per side; images are resized to it on loading
    channels: Literal[1, 3] = 1
    without: tuple[int, ...] = ()  # numbers of classes to leave out, for anomaly detection

    @property
    def source(self) -> str:
        """The dataset with all that is said of it, as `jaxgen.data` takes it: PATH?labels=KEY."""
        said = {"images": self.images, "labels": self.labels, "white": f"{self.white:g}" if self.white else ""}
        said |= {"transpose": "true" if self.transpose else "", "loose": "" if self.loose == "refuse" else self.loose}
        query = urlencode({key: value for key, value in said.items() if value})
        return f"{self.dataset}{'&' if '?' in self.dataset else '?'}{query}" if query else self.dataset

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""
        return self.size, self.size, self.channels

    def __post_init__(self) -> None:
        require(all(label >= 0 for label in self.without), "data.without", "numbers of classes", self.without)
        require(0 <= self.white < math.inf, "data.white", "a number from 0 on", self.white)
        require(1 <= self.size <= 1024, "data.size", "from 1 to 1024", self.size)


class Resumable:
    """A section whose keys a resumed run may change: they say how a model is trained, and not what it is."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Resumable):
    steps: int = 0  # optimiser steps; 0: from `epochs`
    epochs: int = 100
    batch_size: int = 128  # over all devices
    optimizer: Literal["adam", "adamw", "lion", "sgd"] = field(default="adam", metadata={"resumable": False})
    lr: float = 3e-4
    beta1: float = 0.9  # decay of the averaged gradient (adam, adamw, lion) or momentum (sgd)
    beta2: float = 0.999  # decay of the averaged square (adam, adamw)
    lr_schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup: int = 0  # steps of linear warm-up
    weight_decay: float = 0.0  # adamw and lion
    grad_clip: float = 1.0  # global norm; 0: off
    ema: float = 0.999  # decay of the averaged weights, which are used for sampling and export; 0: off
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # of the computation; auto: bfloat16 on GPU and TPU
    scan_steps: int = 0  # optimiser steps in one compiled call; 0: a fast number for this device
    seed: int = 0
    log_every: int = 50
    checkpoint_every: int = 0  # steps; 0: from `checkpoint_epochs`
    checkpoint_epochs: int = 5
    keep: int = 3  # number of newest checkpoints to keep, besides the best
    sample_every: int = 0  # steps between sample grids; 0: each epoch
    sample_count: int = 64
    test_images: int = 512  # maximum number of images for the test loss; 0: all

    def __post_init__(self) -> None:
        for key in ("batch_size", "epochs", "log_every", "checkpoint_epochs", "keep", "sample_count"):
            require(1 <= getattr(self, key) <= LARGEST, f"training.{key}", "from 1 to 2^31 - 1", getattr(self, key))
        for key in ("steps", "scan_steps", "warmup", "checkpoint_every", "sample_every", "test_images"):
            require(0 <= getattr(self, key) <= LARGEST, f"training.{key}", "from 0 to 2^31 - 1", getattr(self, key))
        for key in ("weight_decay", "grad_clip"):
            require(getattr(self, key) >= 0, f"training.{key}", ">= 0", getattr(self, key))
        decays = self.optimizer in ("adamw", "lion")
        require(decays or not self.weight_decay, "training.weight_decay", f"0 for {self.optimizer}", self.weight_decay)
        for key in ("beta1", "beta2"):
            require(0 <= getattr(self, key) < 1, f"training.{key}", "in [0, 1)", getattr(self, key))
        require(self.lr > 0, "training.lr", "> 0", self.lr)
        require(0 <= self.ema < 1, "training.ema", "in [0, 1)", self.ema)
        require(0 <= self.seed < 2**32, "training.seed", "in [0, 2^32)", self.seed)
