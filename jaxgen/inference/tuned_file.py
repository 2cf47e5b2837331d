"""Writing a model file with another default plan, and a certificate that is true of it.

The graph and the weights stay as they are. So what the certificate says of one evaluation and of named plans still
holds, but its probe, which the default plan sampled, does not. The file must first reproduce that probe here; then the
new plan's images in onnxruntime take its place, as in a file of `jaxgen compose`.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib import metadata
from typing import Any

import numpy as np

from jaxgen import __version__
from jaxgen.errors import JaxgenError
from jaxgen.inference.model import Model
from jaxgen.inference.model_file import Artifact, parse
from jaxgen.inference.protobuf import WireError
from jaxgen.inference.required_inputs import plans_with_default
from jaxgen.inference.rewriting import with_default, with_manifest
from jaxgen.inference.runtimes.onnxruntime import OPTIMIZATION
from jaxgen.inference.tensors import encode_images
from jaxgen.inference.tuning import Tuned
from jaxgen.inference.verify import LIMITS, compare_images, verify

STALE = ("made_from", "resigned", "certificate", "scores")  # entries that are true of the earlier default plan alone


def require_reproduced(model: Model) -> None:
    """Raise JaxgenError if a file has a certificate that it does not reproduce here."""
    if "certificate" in model.artifact.manifest and not (report := verify(model))["same"]:
        raise JaxgenError(f"{model.artifact.path} does not reproduce its certificate here: {report['line']}")


def with_plan(model: Model, tuned: Tuned) -> bytes:
    """The file with this plan as its default.

    Its manifest keeps what is not of STALE, and "searched" records the search and the file that it is of. A file
    without a certificate gets none. Raises JaxgenError if the file does not reproduce its certificate.
    """
    require_reproduced(model)
    artifact = model.artifact
    inference = replace(artifact.inference, plan=tuned.recipe).to_dict()
    entries: dict[str, Any] = {key: value for key, value in artifact.manifest.items() if key not in STALE}
    entries |= plans_with_default(artifact, tuned.recipe, tuned.table)
    entries |= {"jaxgen": __version__, "searched": {"from": artifact.sha256, **tuned.record}}
    entries["inference"] = {**artifact.manifest["inference"], **inference}
    try:
        data = with_default(artifact.data, "plan", tuned.table)
    except WireError as err:
        raise JaxgenError(f"{artifact.path}: its graph cannot be read ({err}); export it again") from err
    draft = with_manifest(data, entries)
    if "certificate" not in artifact.manifest:
        return draft
    certificate = _certificate(artifact, Model(parse(draft, artifact.path)), tuned.table)
    return with_manifest(data, entries | {"certificate": certificate})


def _certificate(old: Artifact, model: Model, table: np.ndarray) -> dict[str, Any]:
    """The old certificate with what still holds, and a new probe.

    Where it compared no images of a named plan, as in a file of `jaxgen compose`, onnxruntime is its only reference:
    the probe one by one against the probe in one batch.
    """
    certificate, probe = old.value("certificate", dict), old.value("certificate.probe", dict)
    index, label = np.asarray(probe["index"]), np.asarray(probe["label"])
    seed = np.full(len(index), probe["seed"])
    images, _ = model.sample(seed, index, label=label)
    given, _ = model.sample(seed, index, label=label, plan=table)
    if not np.array_equal(images, given):
        raise JaxgenError(f"{old.path}: its graph does not sample by the plan that was put into it; export it again")
    here = {"onnxruntime": metadata.version("onnxruntime"), "platform": platform.platform()}
    new = {**probe, "images": encode_images(images), "reference": "onnxruntime", "measured": here}
    plans = old.manifest.get("plans")
    named = [row for row in certificate["trajectories"] if isinstance(plans, dict) and row.get("plan") in plans]
    if named:
        return {**certificate, "trajectories": named, "probe": new}
    each = np.concatenate(
        [model.sample(seed[k : k + 1], index[k : k + 1], label=label[k : k + 1])[0] for k in range(len(index))]
    )
    row = {"backend": "onnxruntime", "plan": None, "start": "noise", "batch": 1} | compare_images(each, images)
    return {
        "reference": "onnxruntime", "limits": LIMITS, "evaluation": [], "trajectories": [row], "probe": new,
        "onnxruntime": {"optimization": OPTIMIZATION},
    }  # fmt: skip
