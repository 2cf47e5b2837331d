"""When two sets of images are "the same images", and the check of a model file against its certificate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import tensors
from jaxgen.inference.model_file import Artifact, decode_images

Loaded = Any  # a `jaxgen.inference.model.OnnxModel`, whose module needs this one
LIMITS = {"identical": 0.995, "off_by": 2}  # share of equal pixels, at least; largest difference of one, at most
MAX_RELATIVE = 1e-4  # of one evaluation: largest difference over largest value


def compare_images(found: np.ndarray, want: np.ndarray) -> dict[str, Any]:
    """Share of identical pixels and the largest difference, of two uint8 arrays of one shape."""
    difference = np.abs(found.astype(np.int16) - want)
    return {"identical": float((difference == 0).mean()), "off_by": int(difference.max())}


def same_images(found: np.ndarray, want: np.ndarray) -> bool:
    """Whether two sets of images are the same within LIMITS."""
    if found.shape != want.shape:
        return False
    result = compare_images(found, want)
    return result["identical"] >= LIMITS["identical"] and result["off_by"] <= LIMITS["off_by"]


def errors(found: np.ndarray, want: np.ndarray) -> dict[str, float]:
    """The largest difference, and the same over the largest value."""
    absolute = float(np.abs(found - want).max())
    return {"absolute": absolute, "relative": absolute / max(float(np.abs(want).max()), 1e-12)}


def verify(model: Loaded) -> dict[str, Any]:
    """Run the certificate's probe here: {"same": bool, "line": in words, "images": count, ...the measured distances}.

    Raises JaxgenError if the file has no probe or a broken one.
    """
    try:
        if model.artifact.inference.kind == "sampler":
            return _verify_images(model)
        if model.artifact.inference.kind == "network":
            return _verify_network(model)
        return _verify_numbers(model)
    except (UsageError, ValueError, TypeError) as err:  # ValueError: a ragged list is no array
        raise JaxgenError(f"{model.artifact.path}: its certificate's probe cannot be run: {err}") from err


def require_certified(model: Loaded, runtime: str) -> None:
    """Raise JaxgenError unless `runtime`, in which the model is loaded, gives here what the file's certificate says."""
    path = model.artifact.path
    if "certificate" not in model.artifact.manifest:
        raise JaxgenError(f"{path}: has no certificate that {runtime} could be checked by; open it with onnxruntime")
    result = verify(model)
    if not result["same"]:
        raise JaxgenError(f"{path}: refused in {runtime}, which gives something else: {result['line']}")


def _verify_images(sampler: Loaded) -> dict[str, Any]:
    artifact = sampler.artifact
    seed = artifact.value("certificate.probe.seed", int)
    index = artifact.value("certificate.probe.index", list)
    label = artifact.value("certificate.probe.label", list)
    want = _images(artifact)
    if want.shape != (len(index), *sampler.shape):
        raise UsageError(f"its images are {list(want.shape)}, expected {[len(index), *sampler.shape]}")
    found, _ = sampler.sample(np.full(len(index), seed), np.asarray(index), label=np.asarray(label))
    result = compare_images(found, want)
    line = (
        f"{result['identical']:.3%} of pixels identical in {len(index)} images, "
        f"the largest difference is {result['off_by']}"
    )
    return {"same": same_images(found, want), "line": line, **result, "images": len(index)}


def _verify_numbers(reader: Loaded) -> dict[str, Any]:
    artifact = reader.artifact
    images = _images(artifact)
    want = artifact.value("certificate.probe.outputs", dict)
    found = reader.read(images)
    if want.keys() != found.keys():
        raise UsageError(f"its outputs are {sorted(want)}, expected {sorted(found)}")
    relative = 0.0
    for name, values in found.items():
        wanted = np.asarray(want[name], np.float32)
        if wanted.shape != values.shape:
            raise UsageError(f"its {name} is {list(wanted.shape)}, expected {list(values.shape)}")
        relative = float(np.max([relative, errors(values, wanted)["relative"]]))  # which lets no NaN go
    line = f"{', '.join(found)} of {len(images)} images within {relative:.1e} relative"
    return {"same": relative <= MAX_RELATIVE, "line": line, "relative": relative, "images": len(images)}


def _verify_network(network: Loaded) -> dict[str, Any]:
    artifact = network.artifact

    def held(name: str) -> np.ndarray:
        value = artifact.value(f"certificate.probe.{name}", dict)
        return tensors.decode(value, f"{artifact.path}: its certificate's {name}")

    given = [held(f"inputs.{name}") for name in network.inputs]
    found, want = network(*given), held(f"outputs.{network.output}")
    if found.shape != want.shape:
        raise UsageError(f"its {network.output} is {list(want.shape)}, expected {list(found.shape)}")
    relative = errors(found, want)["relative"]
    line = f"{len(found)} evaluations within {relative:.1e} relative"
    return {"same": relative <= MAX_RELATIVE, "line": line, "relative": relative, "images": len(found)}


def _images(artifact: Artifact) -> np.ndarray:
    texts = artifact.value("certificate.probe.images", list)
    try:
        return decode_images(texts)
    except JaxgenError as err:
        raise JaxgenError(f"{artifact.path}: its certificate's probe cannot be run: {err}") from err


def worst(certificate: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Per backend, the largest error of each kind: what a person reads first; of a reader, "relative" alone."""
    rows: dict[str, dict[str, float]] = {}
    for kind in ("evaluation", "trajectories"):
        for row in certificate[kind]:
            found = rows.setdefault(row["backend"], {})
            if kind == "evaluation":
                found["relative"] = max(found.get("relative", 0.0), row["relative"])
            else:
                found["identical"] = min(found.get("identical", 1.0), row["identical"])
                found["off_by"] = max(found.get("off_by", 0), row["off_by"])
    return rows
