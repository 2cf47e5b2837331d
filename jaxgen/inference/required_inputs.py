"""Model files without input defaults, for clients that cannot override a default.

Such a file holds the same graph without the defaults of `plan`, `guidance`, `state` and `latent`. Its client must feed
them: the plan and the guidance of the manifest, and an empty state or latent.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen.inference import defaults
from jaxgen.inference.defaults import Required
from jaxgen.inference.model_file import Artifact, parse
from jaxgen.inference.own_plan import own_table
from jaxgen.inference.protobuf import WireError
from jaxgen.inference.rewriting import with_manifest
from jaxgen.sampling import sampler_spec
from jaxgen.sampling.sampler_spec import SamplerSpec


def with_required_inputs(artifact: Artifact) -> Artifact:
    """The same model without input defaults; a file without defaults is returned unchanged.

    The manifest is copied, and "made_from" holds the SHA-256 of the original: the certificate was measured there, on
    the same graph with the same values by default. Raises JaxgenError if the graph's inputs cannot be read.
    """
    try:
        stripped = defaults.required(artifact.data)
    except WireError as err:
        raise JaxgenError(f"{artifact.path}: its graph's inputs cannot be read ({err}); export it again") from err
    if not stripped.defaults:
        return artifact
    entries = {**artifact.manifest, **_with_default_plan(artifact, stripped), "made_from": artifact.sha256}
    return parse(with_manifest(stripped.data, entries), artifact.path)


def _with_default_plan(artifact: Artifact, stripped: Required) -> dict[str, Any]:
    """The manifest's named plans with the graph's own, which format 1 did not name; {} for a model without plans."""
    table, spec = stripped.defaults.get("plan"), artifact.inference.plan
    return {} if table is None or spec is None else plans_with_default(artifact, spec, table)


def plans_with_default(artifact: Artifact, recipe: SamplerSpec, table: np.ndarray) -> dict[str, Any]:
    """The manifest's named plans with this one as "default", as an entry of the manifest."""
    text = base64.b64encode(table.astype("<f4").tobytes()).decode()
    named = artifact.manifest.get("plans")
    return {"plans": {**(named if isinstance(named, dict) else {}), "default": recipe._asdict() | {"table": text}}}


def fed_by_default(names: Iterable[str], artifact: Artifact) -> dict[str, np.ndarray]:
    """The default values of these inputs of a model's graph."""
    inference = artifact.inference
    values: dict[str, np.ndarray] = {}
    for name in names:
        if name == "latent" and inference.noise_shape:
            values[name] = np.zeros((0, *inference.noise_shape), np.float32)
        elif name == "state":
            values[name] = np.zeros((2, 0, *inference.image_shape), np.float32)
        elif name == "plan":
            own = own_table(artifact)
            values[name] = sampler_spec.from_config(inference) if own is None else own
        elif name == "guidance":
            values[name] = np.array(inference.guidance, np.float32)
    return values
