"""Model files that read images: a VAE's encoder or a classifier, with NumPy and a runtime."""

from __future__ import annotations

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.checks import integers, require_range, require_shape
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.onnx_model import OnnxModel
from jaxgen.inference.session import Session, require

# The outputs of each kind of file, float32 [N, ...] each.
OUTPUTS = {"encoder": ("mean", "log_variance"), "classifier": ("logits", "features")}
OPTIONAL_OUTPUTS = {"features"}  # files of jaxgen 0.1 lack them


class Predictor(OnnxModel):
    """A loaded encoder or classifier: uint8 images in, and for some encoders their classes; numbers out.

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
        inputs = {"images": None, **({"label": ()} if self.takes_label else {})}
        require(self.session, artifact.path, inputs, dict.fromkeys(self.outputs))

    @property
    def takes_label(self) -> bool:
        """Whether it is an encoder that takes the class of each image."""
        return self.inference.takes_label

    def read(
        self,
        images: np.ndarray,
        label: np.ndarray | None = None,
        *,
        batch_size: int = 512,
        deadline: float | None = None,
    ) -> dict[str, np.ndarray]:
        """uint8 [N, H, W, C] -> each output [N, ...] float32, by name.

        label: the class of each image, [N] integers, where `takes_label`. Raises UsageError on other images or labels,
        JaxgenError if the run fails, takes longer than `deadline` seconds a batch, or gives NaN.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8:
            raise UsageError(f"images must be uint8, got {images.dtype}")
        require_shape(images, (len(images), *self.shape), "images")
        feeds = {"images": images, **self._label(label, len(images))}
        starts = range(0, max(len(images), 1), batch_size)
        parts = [
            self.session.run(
                self.outputs, {name: value[start : start + batch_size] for name, value in feeds.items()}, deadline
            )
            for start in starts
        ]
        columns = zip(*parts, strict=True)
        outputs = {name: np.concatenate(column) for name, column in zip(self.outputs, columns, strict=True)}
        if not all(np.isfinite(value).all() for value in outputs.values()):
            raise JaxgenError(f"{self.artifact.path}: gives NaN or infinity; its weights have diverged")
        return outputs

    def _label(self, label: np.ndarray | None, count: int) -> dict[str, np.ndarray]:
        """The feed of the classes, {} for a graph that takes none."""
        path = self.artifact.path
        if not self.takes_label:
            if label is not None:
                raise UsageError(f"{path}: reads images alone: it takes no label")
            return {}
        most = len(self.classes) - 1
        if label is None:
            raise UsageError(f"{path}: takes the class of each image besides the image: give labels from 0 to {most}")
        labels = integers(label, "label")
        require_shape(labels, (count,), "label")
        require_range(labels, 0, most, "label")
        return {"label": labels.astype(np.int64)}
