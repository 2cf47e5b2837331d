"""Comparing images and checking a model file against its certificate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference import tensors
from jaxgen.inference.model_file import Artifact

Loaded = Any  # a `jaxgen.inference.onnx_model.OnnxModel`, whose module needs this one
LIMITS = {"identical": 0.995, "off_by": 2}  # the least share of equal pixels, the largest difference of a pixel
# dB, of files whose integers make leaps of the last bits of floats: the least PSNR to their images elsewhere.
LEAST_PSNR = {"int8": 35.0}
MAX_PSNR = 99.0  # of images that are equal
MAX_RELATIVE = 1e-4  # of one evaluation: largest difference over largest value


def compare_images(images: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """The share of identical pixels and the largest difference of two uint8 arrays of one shape."""
    difference = np.abs(images.astype(np.int16) - expected)
    return {"identical": float((difference == 0).mean()), "off_by": int(difference.max())}


def psnr(images: np.ndarray, expected: np.ndarray) -> float:
    """The peak signal-to-noise ratio of two uint8 arrays in dB: MAX_PSNR for equal ones."""
    error = float(np.square(images.astype(np.float64) - expected).mean())
    return min(MAX_PSNR, 10 * math.log10(255**2 / error)) if error else MAX_PSNR


def scheme_of(artifact: Artifact) -> str | None:
    """How the weights of a file are quantised: a name; None: they are not."""
    entry = artifact.manifest.get("quantization")
    scheme = entry.get("scheme") if isinstance(entry, dict) else None
    return scheme if isinstance(scheme, str) else None


def same_images(images: np.ndarray, expected: np.ndarray, scheme: str | None = None) -> bool:
    """Whether two sets of images are the same within the limits of a file of this quantisation; None: LIMITS."""
    if images.shape != expected.shape:
        return False
    if scheme in LEAST_PSNR:
        return psnr(images, expected) >= LEAST_PSNR[scheme]
    result = compare_images(images, expected)
    return result["identical"] >= LIMITS["identical"] and result["off_by"] <= LIMITS["off_by"]


def errors(values: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """The largest difference, and its ratio to the largest value."""
    absolute = float(np.abs(values - expected).max())
    return {"absolute": absolute, "relative": absolute / max(float(np.abs(expected).max()), 1e-12)}


def verify(model: Loaded) -> dict[str, Any]:
    """Run the certificate's probe here: {"same": bool, "line": a summary, "images": count, ...the measured distances}.

    Raises JaxgenError if the probe is missing or broken.
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
    """Raise JaxgenError unless the model, loaded in `runtime`, reproduces the file's certificate here."""
    path = model.artifact.path
    if "certificate" not in model.artifact.manifest:
        raise JaxgenError(f"{path}: has no certificate to check {runtime} with; open it with onnxruntime")
    result = verify(model)
    if not result["same"]:
        raise JaxgenError(f"{path}: refused in {runtime}, which gives different results: {result['line']}")


def _verify_images(model: Loaded) -> dict[str, Any]:
    artifact = model.artifact
    seed = artifact.value("certificate.probe.seed", int)
    index = artifact.value("certificate.probe.index", list)
    label = artifact.value("certificate.probe.label", list)
    expected = _images(artifact)
    if expected.shape != (len(index), *model.shape):
        raise UsageError(f"its images are {list(expected.shape)}, expected {[len(index), *model.shape]}")
    images, _ = model.sample(np.full(len(index), seed), np.asarray(index), label=np.asarray(label))
    result = compare_images(images, expected)
    line = (
        f"{result['identical']:.3%} of pixels identical in {len(index)} images, "
        f"the largest difference is {result['off_by']}"
    )
    scheme = scheme_of(artifact)
    if scheme in LEAST_PSNR:
        line += f", PSNR {psnr(images, expected):.1f} dB"
    return {"same": same_images(images, expected, scheme), "line": line, **result, "images": len(index)}


def _verify_numbers(model: Loaded) -> dict[str, Any]:
    artifact = model.artifact
    images = _images(artifact)
    probe = artifact.value("certificate.probe.outputs", dict)
    label = artifact.value("certificate.probe.label", list) if artifact.inference.takes_label else None
    outputs = model.read(images, label)
    if probe.keys() != outputs.keys():
        raise UsageError(f"its outputs are {sorted(probe)}, expected {sorted(outputs)}")
    relative = 0.0
    for name, values in outputs.items():
        expected = np.asarray(probe[name], np.float32)
        if expected.shape != values.shape:
            raise UsageError(f"its {name} is {list(expected.shape)}, expected {list(values.shape)}")
        relative = float(np.max([relative, errors(values, expected)["relative"]]))  # np.max keeps NaN
    line = f"{', '.join(outputs)} of {len(images)} images within {relative:.1e} relative"
    return {"same": relative <= MAX_RELATIVE, "line": line, "relative": relative, "images": len(images)}


def _verify_network(model: Loaded) -> dict[str, Any]:
    artifact = model.artifact

    def probe(name: str) -> np.ndarray:
        value = artifact.value(f"certificate.probe.{name}", dict)
        return tensors.decode(value, f"{artifact.path}: its certificate's {name}")

    inputs = [probe(f"inputs.{name}") for name in model.inputs]
    output, expected = model(*inputs), probe(f"outputs.{model.output}")
    if output.shape != expected.shape:
        raise UsageError(f"its {model.output} is {list(expected.shape)}, expected {list(output.shape)}")
    relative = errors(output, expected)["relative"]
    line = f"{len(output)} evaluations within {relative:.1e} relative"
    return {"same": relative <= MAX_RELATIVE, "line": line, "relative": relative, "images": len(output)}


def _images(artifact: Artifact) -> np.ndarray:
    texts = artifact.value("certificate.probe.images", list)
    try:
        return tensors.decode_images(texts)
    except JaxgenError as err:
        raise JaxgenError(f"{artifact.path}: its certificate's probe cannot be run: {err}") from err


def worst(certificate: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The largest error of each kind, per backend; for models that read images, only "relative"."""
    rows: dict[str, dict[str, float]] = {}
    for kind in ("evaluation", "trajectories"):
        for row in certificate[kind]:
            summary = rows.setdefault(row["backend"], {})
            if kind == "evaluation":
                summary["relative"] = max(summary.get("relative", 0.0), row["relative"])
            else:
                summary["identical"] = min(summary.get("identical", 1.0), row["identical"])
                summary["off_by"] = max(summary.get("off_by", 0), row["off_by"])
    return rows
