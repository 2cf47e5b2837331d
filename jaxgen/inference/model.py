"""What every loaded model file has, whether it draws or reads: its config, its classes and a session of onnxruntime."""

from __future__ import annotations

import os
from typing import Self

from jaxgen import config as configs
from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import model_file as artifacts
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.session import Session


class Loaded:
    """A model file in onnxruntime. Raises JaxgenError if its manifest is not understood or its graph not loaded."""

    def __init__(self, artifact: Artifact, *, threads: int | None = None, spin: bool = True) -> None:
        """threads, spin: of onnxruntime; see `jaxgen.inference.session.Session`."""
        self.artifact = artifact
        self.config = config_of(artifact)
        self.classes = class_names(artifact, self.config.classes)
        self._session = Session(artifact, threads, spin=spin)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, threads: int | None = None) -> Self:
        """Read, check and load a model file; see `jaxgen.inference.model_file.read` for what is refused."""
        return cls(artifacts.read(path), threads=threads)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a picture."""
        return self.config.data.shape


def config_of(artifact: Artifact) -> configs.Config:
    """The config in a file's manifest. Raises JaxgenError if it is not understood."""
    try:
        return configs.from_dict(artifact.config)
    except UsageError as err:
        raise JaxgenError(f"{artifact.path}: its config is not understood: {err}") from err


def kind_of(artifact: Artifact) -> str:
    """What a file does: 'sampler', 'encoder' or 'classifier'."""
    return artifact.value("kind", str) if "kind" in artifact.manifest else "sampler"


def class_names(artifact: Artifact, count: int) -> list[str]:
    """The names of a file's `count` classes. Raises JaxgenError if they are not in its manifest."""
    names = [str(name) for name in artifact.value("classes", list)]
    if len(names) != count:
        raise JaxgenError(f"{artifact.path}: expected the names of {count} classes in its manifest, got {len(names)}")
    return names
