"""What was drawn, ready to be shown and downloaded: each image says how it was drawn."""

from __future__ import annotations

import io
import json
import shlex
import zipfile
from dataclasses import dataclass

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.images import captioned, grid, png_bytes, save_gif
from jaxgen.inference.provenance import provenance_text
from jaxgen.inference.request import Request
from jaxgen.inference.sampler import Model

FRAMES = 40
ROW = 5  # images that move side by side, as they are shown above; more are a square


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """A request and its images, uint8 [N, H, W, C]."""

    model: Model
    name: str
    request: Request
    images: np.ndarray

    @classmethod
    def of(cls, model: Model, name: str, request: Request) -> GenerationResult:
        return cls(model=model, name=name, request=request, images=np.concatenate(list(request.batches(model, 64))))

    def captions(self) -> list[str]:
        """One an image: its index, and its class if it has one."""
        index = range(self.request.first, self.request.first + len(self.images))
        labels = self.model.labels(self.request.label, np.array(index))
        if labels is None or (labels < 0).all():
            return [f"#{i}" for i in index]
        return [f"#{i}, class {self.model.classes[label]}" for i, label in zip(index, labels, strict=True)]

    def provenance(self) -> str:
        """How they were drawn, as JSON."""
        return json.dumps(self.request.provenance(self.model, self.request.first, self.request.count), indent=2)

    def command(self) -> str:
        """What draws them again in a terminal."""
        request = self.request
        words = [f"jaxgen sample {shlex.quote(self.name)}.onnx -n {request.count} --seed {request.seed}"]
        words += [f"--first {request.first}"] if request.first else []
        words += [f"--label {shlex.quote(self._class())}"] if request.label != -1 else []
        words += [f"--guidance {request.guidance:g}"] if request.guidance is not None else []
        if recipe := request.recipe:
            words.append(f"--sampler {recipe.sampler} --steps {recipe.steps}")
            words += [f"--eta {recipe.eta:g}"] if recipe.eta else []
        return " ".join(words)

    def sheet(self) -> bytes:
        """All of them on one PNG; a single one is itself."""
        image = self.images[0] if len(self.images) == 1 else grid(self.images)
        made = self.request.provenance(self.model, self.request.first, self.request.count)
        return png_bytes(self._marked(image), provenance_text(made))

    def zip(self) -> bytes:
        """A PNG each, named as `jaxgen sample` names them."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            for index, image in enumerate(self.images, self.request.first):
                made = self.request.provenance(self.model, index)
                label = f"-class{made['label']}" if made["label"] != -1 else ""
                name = f"{'untrained-' if self.model.untrained else ''}seed{self.request.seed}-{index:06d}{label}.png"
                file.writestr(name, png_bytes(image, provenance_text(made)))
        return buffer.getvalue()

    def gif(self, model: Model) -> bytes:
        """From noise to the images. Raises UsageError if the model draws in one evaluation."""
        plan = self.request.plan(model)
        if plan is None:
            raise UsageError(f"{self.name} draws in one evaluation: there is no way from noise to images to show")
        frames = model.frames(
            self.request.count, FRAMES, seed=self.request.seed, first=self.request.first, label=self.request.label,
            guidance=self.request.guidance, plan=plan,
        )  # fmt: skip
        columns = len(self.images) if len(self.images) <= ROW else None
        buffer = io.BytesIO()
        save_gif(buffer, np.stack([self._marked(grid(images, columns)) for images in frames]))
        return buffer.getvalue()

    def _class(self) -> str:
        """What --label takes: a name, since a number may be another class's name."""
        label = self.request.label
        return label if isinstance(label, str) else self.model.classes[label]

    def _marked(self, image: np.ndarray) -> np.ndarray:
        return captioned(image, "untrained weights") if self.model.untrained else image


def enlarged(images: np.ndarray, side: int) -> list[np.ndarray]:
    """Each of uint8 [N, H, W, C], every pixel a square, so that the longer side is about `side` and none is blurred."""
    scale = max(1, round(side / max(images.shape[1:3])))
    return list(images.repeat(scale, axis=1).repeat(scale, axis=2))
