"""The bytes of a model file: its graph with its manifest, and the hash of both."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from onnx import ModelProto

from jaxgen.inference import model_file
from jaxgen.inference.runtimes.onnxruntime import OPTIMIZATION


def stamped(model: ModelProto, manifest: Mapping[str, Any]) -> bytes:
    """The model with this manifest in place of all its metadata."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.metadata_props[:]
    copy.metadata_props.add(key=model_file.KEY, value=model_file.dump_manifest(manifest))
    return model_file.stamp(copy.SerializeToString())


def where_measured() -> dict[str, Any]:
    """The machine and the packages, for a certificate that was measured with onnxruntime alone."""
    return {
        "machine": {"platform": platform.platform(), "cpu": platform.machine(), "python": platform.python_version()},
        "packages": {name: metadata.version(name) for name in ("onnx", "onnxruntime", "numpy")},
        "onnxruntime": {"optimization": OPTIMIZATION},
    }
