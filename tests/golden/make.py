"""python tests/golden/make.py: export the golden files with the jaxgen that is installed, into format1/, format2/, ...

A golden file stands for those that users keep: each later jaxgen must open it and give the same images, pixel for pixel
(test_golden.py). So a folder is made once, when its format is new or its graphs change on purpose, and never to make a
test pass: files that are there stay. format1/ is of commit 83bbc7c.

The weights are random. Equality to the last pixel would be chance on a CPU that rounds otherwise, so each sampler's
seed is the first one at which no pixel of a call lies near the border between two values.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from golden import calls  # noqa: E402
from tiny import CLASSES, CONDITIONAL, FAMILIES, UNCONDITIONAL, random_weights  # noqa: E402

from jaxgen.config import Config, DiffusionConfig  # noqa: E402
from jaxgen.inference import model_file  # noqa: E402
from jaxgen.inference.model import Model  # noqa: E402
from jaxgen.inference.predictor import Predictor  # noqa: E402
from jaxgen.inference.required_inputs import with_required_inputs  # noqa: E402
from jaxgen.models import network, sampling  # noqa: E402
from jaxgen_export.export import OutputPaths, export_model  # noqa: E402

CONFIGS: dict[str, Config] = {
    "ddpm": UNCONDITIONAL,
    "cddpm": replace(  # one channel, to be small; another sampler than the other one's
        CONDITIONAL,
        data=UNCONDITIONAL.data,
        diffusion=DiffusionConfig(
            steps=50, schedule="cosine", prediction="v", sampler="dpmpp-2m", sampler_steps=8, guidance=1.5
        ),
    ),
    **{name: FAMILIES[name] for name in ("flow", "vae", "gan", "classifier")},
}
MARGIN = 1e-3  # in units of a pixel's value: a hundred times what two runtimes differ by


def main() -> None:
    folder = HERE / f"format{model_file.FORMAT}"
    folder.mkdir(exist_ok=True)
    seeds = calls.seeds(folder) if (folder / "seeds.json").exists() else {}
    for name, config in CONFIGS.items():
        if not (folder / f"{name}.onnx").exists():
            seeds |= _make_model(folder, name, config)
    for name in calls.READERS:
        if not (answers := folder / f"{name}.npz").exists():
            np.savez_compressed(answers, **calls.read(Predictor.open(folder / f"{name}.onnx")))
    for name, whole in calls.NETWORKS.items():
        if not (folder / f"{name}.onnx").exists():
            _make_network(folder, name, CONFIGS[whole])
    for name, whole in calls.REQUIRED.items():
        if not (path := folder / f"{name}.onnx").exists():
            path.write_bytes(with_required_inputs(model_file.read(folder / f"{whole}.onnx")).data)
    (folder / "seeds.json").write_text(json.dumps(seeds) + "\n")


def _make_model(folder: Path, name: str, config: Config) -> dict[str, int]:
    """Write the file of a model, its encoder's, and its images; returns its seed by its name, if it samples."""
    path, params = folder / f"{name}.onnx", random_weights(config)
    beside = OutputPaths(encoder=folder / "vae.encoder.onnx" if name == "vae" else None)
    _export(config, path, beside)
    if name not in calls.SAMPLERS:
        return {}
    model = Model.open(path)
    seed = next(seed for seed in itertools.count() if _clear(config, params, model, name, seed))
    np.savez_compressed(folder / f"{name}.npz", **calls.sampled(model, name, seed))
    return {name: seed}


def _make_network(folder: Path, name: str, config: Config) -> None:
    """Write the network alone, for any batch if it has a plan, and for one of 3 if not."""
    batch = 3 if config.process is None else None
    with tempfile.TemporaryDirectory() as scratch:
        beside = OutputPaths(network=folder / f"{name}.onnx", network_batch=batch)
        _export(config, Path(scratch) / "whole.onnx", beside)


def _export(config: Config, path: Path, beside: OutputPaths) -> None:
    training = {"dataset": "digits", "steps": 1234, "test_loss": 0.5}
    export_model(
        config, random_weights(config), path, classes=CLASSES[: config.class_count], beside=beside, training=training
    )


class _InJax(Model):
    """Notes how near each pixel comes to the border between two values; draws in JAX, whose x is not rounded."""

    def __init__(self, model: Model, config: Config, params: dict[str, np.ndarray]) -> None:
        self.__dict__ = dict(model.__dict__)
        self._config, self._params, self._apply = config, params, network.build(config).apply
        self.nearest = np.inf

    def sample(self, seed: Any, index: Any, *, label: Any = None, latent: Any = None, **how: Any) -> Any:  # type: ignore[override]
        label = np.full(len(index), -1) if label is None else label
        x = sampling.sample(
            self._config, self._apply, self._params, jnp.asarray(seed, jnp.uint32), jnp.asarray(index, jnp.uint32),
            jnp.asarray(label, jnp.int32), start=latent, **how,
        )  # fmt: skip
        values = (np.asarray(x, np.float64) + 1) * 127.5
        near = np.abs(values - np.floor(values) - 0.5)
        self.nearest = min(self.nearest, near[(values > 0) & (values < 255)].min())
        return np.clip(values, 0, 255).round().astype(np.uint8), None


def _clear(config: Config, params: dict[str, np.ndarray], model: Model, name: str, seed: int) -> bool:
    """Whether every pixel of every call is the same wherever rounding differs a little; and JAX gives the same."""
    in_jax = _InJax(model, config, params)
    want, found = calls.sampled(in_jax, name, seed), calls.sampled(model, name, seed)
    return in_jax.nearest > MARGIN and all(np.array_equal(want[call], found[call]) for call in want)


if __name__ == "__main__":
    main()
