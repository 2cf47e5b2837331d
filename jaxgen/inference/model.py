"""What every loaded model file has, whether it draws or reads: what its manifest says, and a session of onnxruntime."""

from __future__ import annotations

import os
from typing import Self

from jaxgen.inference import model_file as artifacts
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.session import Session


class OnnxModel:
    """A model file in onnxruntime. Raises JaxgenError if its graph is not loaded."""

    def __init__(self, artifact: Artifact, *, threads: int | None = None, spin: bool = True) -> None:
        """threads, spin: of onnxruntime; see `jaxgen.inference.session.Session`."""
        self.artifact = artifact
        self._session = Session(artifact, threads, spin=spin)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, threads: int | None = None) -> Self:
        """Read, check and load a model file; see `jaxgen.inference.model_file.read` for what is refused."""
        return cls(artifacts.read(path), threads=threads)

    @property
    def inference(self) -> Inference:
        """What the file does, and with what."""
        return self.artifact.inference

    @property
    def optimization(self) -> str:
        """How far onnxruntime may rewrite the graph: the name of its level. Others give other last bits."""
        return self._session.optimization

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names; (): it is unconditional."""
        return self.inference.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""
        return self.inference.image_shape
