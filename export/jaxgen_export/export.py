"""Export: a trained model in, one checked and certified file out."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
import torch

from jaxgen import artifact, config as configs, plan as plans
from jaxgen.config import Config
from jaxgen.errors import JaxgenError
from jaxgen.files import write_atomically
from jaxgen.sampler import Sampler
from jaxgen_export import backends, certificate, onnx_graph, torch_sampler, twins, weights


def export_model(
    config: Config,
    params: Mapping[str, np.ndarray],
    path: Path,
    *,
    classes: Sequence[str] = (),
    training: Mapping[str, Any] | None = None,
    torchscript: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Write the ONNX file (and the TorchScript one); returns the manifest.

    params: the weights to sample with, as jaxgen.models names them; classes: their names; training: what is known of
    how they came about, for the manifest. Raises JaxgenError, and nothing is written, if the weights or class names do
    not fit the config or the backends disagree.
    """
    if len(classes) != config.model.classes:
        raise JaxgenError(f"expected the names of {config.model.classes} classes (model.classes), got {len(classes)}")
    twin = twins.build(config)
    weights.load_into(twin, params)
    plan = plans.from_config(config.diffusion)
    say("tracing the network")
    denoiser = onnx_graph.export_denoiser(twin, config)
    model = onnx_graph.compose(denoiser, config, plan)
    eager = torch_sampler.build(twin, config, torch.from_numpy(plan))
    scripted = torch_sampler.script(eager, config)
    manifest = _manifest(config, params) | {"classes": list(classes), "training": dict(training or {})}
    say("comparing JAX, PyTorch, TorchScript and onnxruntime")
    draft = Sampler(artifact.parse(_stamped(model, manifest), path))
    others: dict[str, backends.Backend] = {
        "pytorch": backends.Torch(eager, config),
        "torchscript": backends.Torch(scripted, config),
        "onnxruntime": backends.OnnxRuntime(draft, denoiser.SerializeToString()),
    }
    with jax.default_device(jax.devices("cpu")[0]):  # accelerators shorten float32 products
        manifest["certificate"] = certificate.measure(backends.Jax(params, config), others, config)
    data = _stamped(model, manifest)
    written = artifact.parse(data, path).manifest
    write_atomically(path, data)
    if torchscript:
        torch_sampler.save(scripted, torchscript, written)
    return written


def _manifest(config: Config, params: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What follows from the config and the weights."""
    return {
        "config": configs.to_dict(config),
        "plans": named_plans(config),
        "weights": {
            "sha256": weights.weights_hash(params),
            "parameters": int(sum(np.size(value) for value in params.values())),
        },
    }


def named_plans(config: Config) -> dict[str, dict[str, Any]]:
    """Plans for clients that cannot compute one: {name: recipe and "table", base64 of float32 [S, 9] little-endian}."""
    total = config.diffusion.steps
    recipes: list[dict[str, Any]] = [
        {"sampler": sampler, "steps": min(steps, total)}
        for sampler, steps in (("ddim", 50), ("ddim", 20), ("dpmpp-2m", 20), ("dpmpp-2m", 10), ("ancestral", total))
    ]
    return {
        f"{recipe['sampler']}-{recipe['steps']}": recipe | {"eta": 0.0, "table": _table(config, recipe)}
        for recipe in recipes
    }


def _table(config: Config, recipe: Mapping[str, Any]) -> str:
    table = plans.from_config(config.diffusion, sampler=recipe["sampler"], steps=recipe["steps"], eta=0.0)
    return base64.b64encode(table.astype("<f4").tobytes()).decode()


def _stamped(model: onnx.ModelProto, manifest: Mapping[str, Any]) -> bytes:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    entry = copy.metadata_props.add()
    entry.key, entry.value = artifact.KEY, artifact.dump_manifest(manifest)
    return artifact.stamp(copy.SerializeToString())
