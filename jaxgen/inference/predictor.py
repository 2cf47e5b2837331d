"""Model files that read images: a VAE's encoder or a classifier, with NumPy and a runtime."""

from __future__ import annotations

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.checks import require_shape
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.onnx_model import OnnxModel
from jaxgen.inference.session import Session, require

# The outputs of each kind of file, float32 [N, ...] each.
OUTPUTS = {"encoder": ("mean", "log_variance"), "classifier": ("logits", "features")}
OPTIONAL_OUTPUTS = {"features"}  # files of jaxgen 0.1 lack them


class Predictor(OnnxModel):
    """A loaded encoder or classifier: uint8 images in, numbers out.

    Raises JaxgenError if the file is of another kind, or its graph breaks the contract.
    """

    def __init__(self, artifact: Artifact, session: Session | None = None) -> None:
        """session: see `OnnxModel`."""
        self.kind = artifact.inference.kind
        if self.kind not in OUTPUTS:
            hint = "; a VAE's encoder is the second file that 'jaxgen export' writes" if self.kind == "sampler" else ""
            raise JaxgenError(f"{artifact.path}: reads no images: it is a {self.kind[:40]}{hint}")
        super().__init__(artifact, session)
        known = OUTPUTS[self.kind]
        self.outputs = tuple(name for name in known if name in self.session.outputs or name not in OPTIONAL_OUTPUTS)
        require(self.session, artifact.path, {"images": None}, dict.fromkeys(self.outputs))

    def read(
        self, images: np.ndarray, *, batch_size: int = 512, deadline: float | None = None
    ) -> dict[str, np.ndarray]:
        """uint8 [N, H, W, C] -> each output [N, ...] float32, by name.

        Raises UsageError on other images, JaxgenError if the run fails, takes longer than `deadline` seconds a batch,
        or gives NaN.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8:
            raise UsageError(f"images must be uint8, got {images.dtype}")
        require_shape(images, (len(images), *self.shape), "images")
        starts = range(0, max(len(images), 1), batch_size)
        parts = [
            self.session.run(self.outputs, {"images": images[start : start + batch_size]}, deadline) for start in starts
        ]
        columns = zip(*parts, strict=True)
        outputs = {name: np.concatenate(column) for name, column in zip(self.outputs, columns, strict=True)}
        if any(np.isnan(value).any() for value in outputs.values()):
            raise JaxgenError(f"{self.artifact.path}: gives NaN; its weights have diverged")
        return outputs
