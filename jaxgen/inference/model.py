"""What every loaded model file has, whether it draws or reads: what its manifest says, and a session of a runtime."""

from __future__ import annotations

import os
from typing import Self, Unpack

from jaxgen.inference import model_file as artifacts, runtime as runtimes, verify
from jaxgen.inference.manifest import Inference
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.runtime import How
from jaxgen.inference.session import Session


class OnnxModel:
    """A model file in a runtime. Raises JaxgenError if its graph is not loaded."""

    def __init__(self, artifact: Artifact, session: Session | None = None) -> None:
        """session: what runs the graph; None: onnxruntime, as `jaxgen.inference.runtime.load` loads it."""
        self.artifact = artifact
        self.session = session or runtimes.load(artifact)

    @classmethod
    def open(cls, path: str | os.PathLike[str], **how: Unpack[How]) -> Self:
        """Read, check and load a model file; see `jaxgen.inference.model_file.read` for what is refused, and `of`."""
        return cls.of(artifacts.read(path), **how)

    @classmethod
    def of(cls, artifact: Artifact, **how: Unpack[How]) -> Self:
        """The file in the runtime that was chosen.

        Raises JaxgenError if that is not the one that files are certified with, and does not give what the file's
        certificate says, or the file has none: nobody could tell whether it does.
        """
        model = cls(artifact, runtimes.load(artifact, **how))
        other = runtimes.other(how)
        if other is not None:
            verify.require_certified(model, other)
        return model

    @property
    def inference(self) -> Inference:
        """What the file does, and with what."""
        return self.artifact.inference

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names; (): it is unconditional."""
        return self.inference.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""
        return self.inference.image_shape
