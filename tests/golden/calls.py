"""What the golden files are asked for: fixed calls, whose answers lie beside them; see make.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.images import to_uint8
from jaxgen.inference.model import Model
from jaxgen.inference.network import Network, sample_with
from jaxgen.inference.predictor import Predictor
from jaxgen.sampling import sampler_spec

HERE = Path(__file__).parent
FOLDERS = sorted(HERE.glob("format*"))  # one of each format
COUNT = 4  # images of a call
SAMPLERS = {"ddpm": 0, "cddpm": 0, "flow": 0, "vae": 3, "gan": 5}  # numbers of a latent; 0: those with a plan
READERS = ("vae.encoder", "classifier")
# Of format 2 and later, with the weights of a sampler and so its images: a network alone (of any batch; of one), and a
# sampler whose inputs have no defaults.
NETWORKS = {"cddpm.network": "cddpm", "gan.network": "gan"}
REQUIRED = {"flow.required": "flow"}


def stems(folder: Path) -> set[str]:
    """The names of the files in a folder of one format."""
    since_format_2 = set() if folder.name == "format1" else {*NETWORKS, *REQUIRED}
    return {*SAMPLERS, *READERS} | since_format_2


def drawn(folder: Path) -> dict[str, str]:
    """Of the files in a folder, those that give images: the name of each -> the name of its answers."""
    return {name: (NETWORKS | REQUIRED).get(name, name) for name in sorted(stems(folder) - {*READERS})}


def opened(folder: Path, name: str, **how: Any) -> Model | Outside:
    """One of these files, in a runtime."""
    path = folder / f"{name}.onnx"
    return Outside(Network.open(path, **how)) if name in NETWORKS else Model.open(path, **how)


def sampled(model: Model | Outside, name: str, seed: int) -> dict[str, np.ndarray]:
    """The images of each call that a sampler takes, uint8 [COUNT, H, W, C], by the call's name."""
    index = np.arange(5, 5 + COUNT)
    label = index % len(model.classes) if model.classes else None

    def images(**inputs: object) -> np.ndarray:
        return model.sample(np.full(COUNT, seed), index, label=label, **inputs)[0]

    found = {"default": images()}
    if width := SAMPLERS[name]:
        return found | {"latent": images(latent=latents(width))}
    found["five_rows"] = images(plan=model.plan(steps=5))  # a table made from what the manifest says of the process
    return found | ({"guidance": images(guidance=3.0)} if model.classes else {})


class Outside:
    """A network's file as a model: the plan and the noise are NumPy's."""

    def __init__(self, network: Network) -> None:
        self._network, self._inference, self.classes = network, network.inference, network.inference.classes

    def plan(self, steps: int) -> np.ndarray:
        return sampler_spec.from_config(self._inference, steps=steps)

    def sample(self, seed: Any, index: Any, *, label: Any = None, latent: Any = None, **how: Any) -> Any:
        if latent is not None:
            return to_uint8(self._network(latent, *([label] if self.classes else []))), None
        return sample_with(self._network, self._inference, seed, index, label=label, **how), None


def latents(width: int) -> np.ndarray:
    """Codes that no seed gives: float32 [COUNT, width]."""
    return np.linspace(-2, 2, COUNT * width, dtype=np.float32).reshape(COUNT, width)


def read(reader: Predictor) -> dict[str, np.ndarray]:
    """What a reader says of fixed images, float32 [COUNT, ...], by the output's name."""
    pixels = np.arange(COUNT * int(np.prod(reader.shape)))
    return reader.read((pixels * 37 % 256).astype(np.uint8).reshape(COUNT, *reader.shape))


def seeds(folder: Path) -> dict[str, int]:
    """The seed of each sampler's calls: name -> seed."""
    return json.loads((folder / "seeds.json").read_text())


def answers(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz", allow_pickle=False) as stored:
        return dict(stored)
