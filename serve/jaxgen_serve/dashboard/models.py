"""Model files that can be drawn from: where they lie, and which were uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxgen.errors import UsageError
from jaxgen.inference import model_file as artifacts
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.sampler import Model
from jaxgen_serve.models.registry import ENCODER
from jaxgen_serve.settings import data_folder

MAX_UPLOAD = 64  # MB


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedModel:
    """A model that is loaded, and the encoder that belongs to it, if there is one.

    file: what somebody at a terminal calls it.
    """

    name: str
    sampler: Model
    encoder: Artifact | None = None
    file: str = "model.onnx"

    @property
    def dataset(self) -> str | None:
        """What it was made for, as far as its file records it."""
        return self.sampler.artifact.fact("data.dataset", str)


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
            raise UsageError(f"{artifact.path}: generates no images: it is a {kind[:40]}")
        if kind in kinds:
            raise UsageError(f"give one model, and its encoder if it has one; got two {kind}s")
        kinds[kind] = artifact
    if "sampler" not in kinds:
        raise UsageError(f"{files[0][0]} is an encoder: give the model that it belongs to, too")
    return kinds["sampler"], kinds.get("encoder")
