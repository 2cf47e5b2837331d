"""The base class of all loaded model files: the manifest's contents, and a session of a runtime."""

from __future__ import annotations

import os
from typing import Self, Unpack

from jaxgen.inference import model_file as artifacts, runtime as runtimes, verify
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.runtime import How
from jaxgen.inference.session import Session
from jaxgen.shipped import located


class OnnxModel:
    """A model file in a runtime. Raises JaxgenError if its graph cannot be loaded."""

    def __init__(self, artifact: Artifact, session: Session | None = None) -> None:
        """session: runs the graph; None: onnxruntime, from `jaxgen.inference.runtime.load`."""
        self.artifact = artifact
        self.session = session or runtimes.load(artifact)

    @classmethod
    def open(cls, path: str | os.PathLike[str], **how: Unpack[How]) -> Self:
        """Read, check and load a model file, or a model that comes with jaxgen, by its name.

        Raises as `jaxgen.shipped.located`, `jaxgen.inference.model_file.read` and `of` do.
        """
        return cls.of(artifacts.read(located(path)), **how)

    @classmethod
    def of(cls, artifact: Artifact, **how: Unpack[How]) -> Self:
        """Load the file into the chosen runtime.

        A runtime that files are not certified with must reproduce the file's certificate. Raises JaxgenError if it does
        not, or if the file has no certificate.
        """
        model = cls(artifact, runtimes.load(artifact, **how))
        other = runtimes.other(how)
        if other is not None:
            verify.require_certified(model, other)
        return model

    @property
    def inference(self) -> Inference:
        """The manifest's inference section."""
        return self.artifact.inference

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; () if the model is unconditional."""
        return self.inference.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""
        return self.inference.image_shape
