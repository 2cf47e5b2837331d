"""The certificate: how far PyTorch, TorchScript and onnxruntime are from JAX on this very model, as measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

from jaxgen import plan as plans
from jaxgen.artifact import encode_pictures
from jaxgen.config import Config
from jaxgen.errors import JaxgenError
from jaxgen.images import to_uint8
from jaxgen.parity import LIMITS, compare_pictures
from jaxgen_export.backends import Backend

BATCHES = (1, 2, 7)
PROBE = 8  # pictures that `jaxgen verify` draws again
PACKAGES = ("jax", "torch", "onnx", "onnxruntime", "numpy")
GUIDANCE = 2.0  # other than 1, so that both evaluations of a conditional model count
MAX_RELATIVE = 1e-4  # of one evaluation: largest difference over largest value

Row = dict[str, Any]  # one comparison


def measure(reference: Backend, others: Mapping[str, Backend], config: Config) -> dict[str, Any]:
    """All comparisons with `reference`, and the probe. Raises JaxgenError if one is beyond its limit."""
    evaluations = [row for batch in BATCHES for row in _evaluations(reference, others, config, batch)]
    diffusion = config.diffusion
    short = plans.from_config(diffusion, sampler="ddim", steps=min(50, diffusion.steps), eta=0.0)
    whole = plans.from_config(diffusion, sampler="ancestral")
    ddim, ancestral = (f"ddim-{len(short)}", short), (f"ancestral-{len(whole)}", whole)
    many = max(BATCHES)
    drawn: list[tuple[str, np.ndarray, int, str, float | None]] = [
        *((*ddim, batch, start, None) for batch in BATCHES for start in ("noise", "constant")),
        (*ancestral, many, "noise", None),
        *([(*ddim, many, "noise", GUIDANCE)] if config.model.classes else []),
    ]
    trajectories = [row for what in drawn for row in _trajectories(reference, others, config, *what)]
    certificate = {
        "limits": {"evaluation_relative": MAX_RELATIVE, **LIMITS},
        "evaluation": evaluations,
        "trajectories": trajectories,
        "probe": _probe(reference, config),
        "machine": {"platform": platform.platform(), "cpu": platform.machine(), "python": platform.python_version()},
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
    _check(certificate)
    return certificate


def _labels(config: Config, count: int) -> np.ndarray:
    """-1, 0, 1, ... for conditional models, -1 for all others: int64 [count]."""
    return np.arange(count) % (config.model.classes + 1) - 1


def _pictures(config: Config, count: int, kind: str) -> np.ndarray:
    """Random pictures, or constant ones (each of another grey), on which normalisation amplifies rounding."""
    shape = (count, *config.data.shape)
    if kind == "constant":
        greys = np.linspace(-1, 1, count) if count > 1 else np.array([-1.0])
        return np.broadcast_to(greys[:, None, None, None], shape).astype(np.float32)
    return np.random.default_rng(count).standard_normal(shape, np.float32)


def _evaluations(reference: Backend, others: Mapping[str, Backend], config: Config, batch: int) -> list[Row]:
    rows = []
    times = np.linspace(0, config.diffusion.steps - 1, batch).round().astype(np.float32)
    labels = _labels(config, batch)
    for kind in ("random", "constant"):
        x = _pictures(config, batch, kind)
        want = reference.evaluate(x, times, labels)
        for name, backend in others.items():
            found = backend.evaluate(x, times, labels)
            rows.append({"backend": name, "input": kind, "batch": batch} | _errors(found, want))
    return rows


def _trajectories(
    reference: Backend,
    others: Mapping[str, Backend],
    config: Config,
    plan_name: str,
    plan: np.ndarray,
    batch: int,
    start: str,
    guidance: float | None,
) -> list[Row]:
    index, labels = np.arange(batch), _labels(config, batch)
    x = None if start == "noise" else _pictures(config, batch, start)
    want = reference.draw(index, labels, plan, x, guidance)
    rows = []
    for name, backend in others.items():
        found = backend.draw(index, labels, plan, x, guidance)
        row = {"backend": name, "plan": plan_name, "start": start, "batch": batch, "guidance": guidance}
        rows.append(row | _errors(found, want) | compare_pictures(to_uint8(found), to_uint8(want)))
    return rows


def _errors(found: np.ndarray, want: np.ndarray) -> dict[str, float]:
    """The largest difference, and the same over the largest value."""
    absolute = float(np.abs(found - want).max())
    return {"absolute": absolute, "relative": absolute / max(float(np.abs(want).max()), 1e-12)}


def _probe(reference: Backend, config: Config) -> dict[str, Any]:
    """Pictures by JAX and the file's default plan, for others to draw again."""
    index = np.arange(PROBE)
    # Pictures without a class show little of a conditional model, so the probe names classes.
    labels = index % config.model.classes if config.model.classes else np.full(PROBE, -1)
    pictures = to_uint8(reference.draw(index, labels, plans.from_config(config.diffusion)))
    return {"seed": 0, "index": index.tolist(), "label": labels.tolist(), "pictures": encode_pictures(pictures)}


def _check(certificate: Mapping[str, Any]) -> None:
    for row in certificate["evaluation"]:
        if not row["relative"] <= MAX_RELATIVE:  # and not >, which is false of NaN
            raise JaxgenError(f"{row['backend']} is not JAX's equal: relative error {row['relative']:.1e} in {row}")
    for row in certificate["trajectories"]:
        if not (row["identical"] >= LIMITS["identical"] and row["off_by"] <= LIMITS["off_by"]):
            share = f"{row['identical']:.2%} of pixels"
            raise JaxgenError(f"{row['backend']} does not draw JAX's pictures: {share} are identical in {row}")
