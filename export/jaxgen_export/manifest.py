"""The entries of an exported file's manifest, but for its certificate."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen import config as configs
from jaxgen.config import Config
from jaxgen.inference.manifest import TAKES_LABEL, Inference, Likelihood
from jaxgen.models.network import weights_hash
from jaxgen.sampling import sampler_spec
from jaxgen_export.bundle import Bundle
from jaxgen_export.weight_mapping import Weights


def facts(config: Config, params: Weights, training: Mapping[str, Any], palette: Sequence[str] = ()) -> dict[str, Any]:
    """The entries of all files of a model; training: how it was trained; palette: the colours of its data."""
    entries = {
        "config": configs.to_dict(config),
        "weights": {
            "sha256": weights_hash(params),
            "parameters": int(sum(np.size(value) for value in params.values())),
        },
        "training": dict(training),
    }
    return entries | ({"palette": list(palette)} if palette else {})


def inference_of(config: Config, kind: str, classes: Sequence[str]) -> Inference:
    """The inference section of a file of this kind, for the model that a config describes."""
    likelihood = config.likelihood and Likelihood(kind=config.likelihood[0], sigma=config.likelihood[1])
    common: dict[str, Any] = {
        "kind": kind, "image_shape": config.data.shape, "classes": tuple(classes), "likelihood": likelihood
    }  # fmt: skip
    if kind == "encoder":
        return Inference(**common, takes_label=config.encoder_label)
    if kind != "sampler":
        return Inference(**common)
    return Inference(
        **common,
        null_class=config.null_class or not classes,
        noise_shape=config.noise_shape,
        process=config.process,
        plan=config.plan,
        guidance=config.guidance if config.process and classes else None,
    )


def of_kind(made: Bundle, classes: Sequence[str]) -> dict[str, Any]:
    """The entries of one file: how to run it, and the plans that a client may name."""
    inference = inference_of(made.config, made.core.kind, classes)
    entries: dict[str, Any] = {"inference": inference.to_dict()}
    if inference.takes_label:
        entries["requires"] = [TAKES_LABEL]
    return entries if made.core.reads else entries | {"plans": named_plans(made.config)}


def named_plans(config: Config) -> dict[str, dict[str, Any]]:
    """Plans for clients that cannot compute one: {name: recipe and "table", base64 of float32 [S, 9] little-endian}.

    "default" is the model's own choice, which is a default of the graph's, too, unless its inputs are required.
    """
    process = config.process
    if process is None:
        return {}
    named = sampler_spec.named(process) | {"default": sampler_spec.choose(config)}
    return {
        name: recipe._asdict() | {"table": _base64(sampler_spec.table(process, recipe))}
        for name, recipe in named.items()
    }


def _base64(table: np.ndarray) -> str:
    return base64.b64encode(table.astype("<f4").tobytes()).decode()
