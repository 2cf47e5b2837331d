"""The default plan of a model file, as stored in the file."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.onnx_safety import float_initializer
from jaxgen.inference.protobuf import WireError
from jaxgen.sampling.plan import COLUMNS, validate


def own_table(artifact: Artifact) -> np.ndarray | None:
    """The table [S, 9]: the default of the graph's input, else the manifest's plan with the same recipe, else None."""
    for numbers in (_in_graph(artifact), _by_name(artifact)):
        if numbers is not None and numbers.size and not numbers.size % len(COLUMNS):
            try:
                return validate(numbers.reshape(-1, len(COLUMNS)))
            except UsageError:  # a file that was written by hand
                continue
    return None


def _in_graph(artifact: Artifact) -> np.ndarray | None:
    try:
        return float_initializer(artifact.data, "plan")
    except WireError:
        return None


def _by_name(artifact: Artifact) -> np.ndarray | None:
    plans: Any = artifact.manifest.get("plans")
    recipe = artifact.inference.plan
    settings = recipe._asdict() if recipe else {}
    for name, plan in plans.items() if isinstance(plans, dict) else ():
        if not isinstance(plan, dict) or not isinstance(plan.get("table"), str):
            continue
        if name == "default" or all(plan.get(key) == value for key, value in settings.items()):
            try:
                return np.frombuffer(base64.b64decode(plan["table"], validate=True), "<f4")
            except ValueError:  # no base64, or no float32
                return None
    return None
