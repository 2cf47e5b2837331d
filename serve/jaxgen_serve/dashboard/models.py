"""Model files that can be drawn from: where they lie, which were uploaded, and a limit on how long they may run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file as artifacts
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.predictor import Predictor
from jaxgen.inference.sampler import Model
from jaxgen.latent.spaces import Codes, Noises, Space
from jaxgen_serve.models.registry import ENCODER
from jaxgen_serve.settings import data_folder

MAX_UPLOAD = 64  # MB


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedModel:
    """A model that is loaded, and the encoder that belongs to it, if there is one."""

    name: str
    sampler: Model
    reader: Predictor | None = None

    @property
    def dataset(self) -> str | None:
        """What it was made for, as far as its file records it."""
        return self.sampler.artifact.fact("data.dataset", str)

    def within(self, seconds: float) -> Model:
        """The sampler, whose calls take `seconds` from now at most, all together; then it raises JaxgenError."""
        return _LimitedModel(self.sampler, time.monotonic() + seconds)

    def space(self, seconds: float, *, exact: bool = False) -> Space:
        """Its latents, for `seconds` from now; exact: see `jaxgen.latent.spaces.Noises`."""
        sampler = self.within(seconds)
        if sampler.inference.process is not None:
            return Noises(sampler, exact=exact, refine=1)
        reader = self.reader and _LimitedPredictor(self.reader, time.monotonic() + seconds)
        return Codes(sampler, reader, Path(f"{self.name}{ENCODER}"))


class _LimitedModel(Model):
    def __init__(self, model: Model, end: float) -> None:
        self.__dict__ = dict(model.__dict__)  # the same session, loaded once
        self._end = end

    def sample(self, *values: Any, **named: Any) -> tuple[np.ndarray, np.ndarray | None]:
        return super().sample(*values, **named, deadline=_left(self._end))


class _LimitedPredictor(Predictor):
    def __init__(self, reader: Predictor, end: float) -> None:
        self.__dict__ = dict(reader.__dict__)
        self._end = end

    def read(self, images: np.ndarray, **named: Any) -> dict[str, np.ndarray]:
        return super().read(images, **named, deadline=_left(self._end))


def places(runs: Path) -> list[Path]:
    """The folders in which models are looked for: that of the runs, each run's own, and where `jaxgen serve` keeps its
    own."""
    try:
        own = sorted(folder for folder in runs.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    except OSError:
        own = []
    return [runs, *own, data_folder() / "models"]


def model_files(runs: Path) -> dict[str, Path]:
    """What a person calls each .onnx file that may draw -> the file. A run's own export has the run's name."""
    found: dict[str, Path] = {}
    for folder in places(runs):
        for path in sorted(folder.glob("*.onnx")):
            if path.name.endswith(ENCODER):
                continue
            in_run = folder.parent == runs
            name = f"{folder.name}/{path.stem}" if in_run and path.stem != "model" else path.stem
            found.setdefault(folder.name if in_run and path.stem == "model" else name, path)
    return found


def received(files: list[tuple[str, bytes]]) -> tuple[Artifact, Artifact | None]:
    """What was uploaded, as (name, bytes) each: one model that draws, and its encoder if that came with it.

    Raises UsageError if there is none or more than one of a kind, JaxgenError for a file that is none of jaxgen's.
    """
    kinds: dict[str, Artifact] = {}
    for name, data in files:
        if len(data) > MAX_UPLOAD * 2**20:
            raise UsageError(f"{name}: expected at most {MAX_UPLOAD} MB, got {len(data) / 2**20:.0f} MB")
        artifact = artifacts.parse(data, Path(name).name)
        kind = artifact.inference.kind
        if kind not in ("sampler", "encoder"):
            raise UsageError(f"{artifact.path}: draws nothing: it is a {kind[:40]}")
        if kind in kinds:
            raise UsageError(f"give one model, and its encoder if it has one; got two {kind}s")
        kinds[kind] = artifact
    if "sampler" not in kinds:
        raise UsageError(f"{files[0][0]} is an encoder: give the model that it belongs to, too")
    return kinds["sampler"], kinds.get("encoder")


def _left(end: float) -> float:
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise JaxgenError("stopped: it takes longer than its deadline; ask for fewer images or steps")
    return seconds
