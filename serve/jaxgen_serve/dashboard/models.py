"""Find model files that can sample, and parse uploaded ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxgen import shipped
from jaxgen.errors import UsageError
from jaxgen.inference import model_file as artifacts
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact
from jaxgen_serve.models.registry import ENCODER
from jaxgen_serve.settings import data_folder

MAX_UPLOAD = 64  # MB


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """A loaded model, and its encoder if there is one. file: its path in a terminal."""

    name: str
    model: Model
    encoder: Artifact | None = None
    file: str = "model.onnx"

    @property
    def dataset(self) -> str | None:
        """The dataset that it was trained on, if its file records it."""
        return self.model.artifact.fact("data.dataset", str)


def places(runs: Path) -> list[Path]:
    """The folders to search for models: the runs folder, each run's folder, that of the server, and the package's."""
    try:
        own = sorted(folder for folder in runs.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    except OSError:
        own = []
    return [runs, *own, data_folder() / "models", shipped.FOLDER]


def model_files(runs: Path) -> dict[str, Path]:
    """Each model file by its display name. A run's own export has the run's name."""
    files: dict[str, Path] = {}
    for folder in places(runs):
        for path in sorted(folder.glob("*.onnx")):
            if path.name.endswith(ENCODER):
                continue
            in_run = folder.parent == runs
            name = f"{folder.name}/{path.stem}" if in_run and path.stem != "model" else path.stem
            files.setdefault(folder.name if in_run and path.stem == "model" else name, path)
    return files


def parse_uploads(files: list[tuple[str, bytes]]) -> tuple[Artifact, Artifact | None]:
    """Parse uploads, (name, bytes) each: one model that samples, and its encoder if that is among them.

    Raises UsageError if there is none or more than one of a kind, JaxgenError for a file that is not jaxgen's.
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
