"""Model files without input defaults, for clients that cannot override a default.

Such a file holds the same graph without the defaults of `plan`, `guidance`, `state` and `latent`. Its client must feed
them: the plan and the guidance of the manifest, and an empty state or latent.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen.inference import defaults
from jaxgen.inference.defaults import Required
from jaxgen.inference.model_file import KEY, Artifact, dump_manifest, parse, stamp
from jaxgen.inference.onnx_safety import METADATA, metadata_spans
from jaxgen.inference.own_plan import own_table
from jaxgen.inference.protobuf import BYTES, Field, WireError, fields
from jaxgen.sampling import sampler_spec


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
    data = stripped.data
    ((start, _),) = metadata_spans(data, KEY.encode())
    others = [whole for field, whole in _split(data) if not field.start <= start < field.end]
    manifest = dump_manifest(
        {**artifact.manifest, **_with_default_plan(artifact, stripped), "made_from": artifact.sha256}
    )
    entry = _message(METADATA, [_message(1, [KEY.encode()]), _message(2, [manifest.encode()])])
    return parse(stamp(b"".join([*others, entry])), artifact.path)


def _with_default_plan(artifact: Artifact, stripped: Required) -> dict[str, Any]:
    """The manifest's named plans with the graph's own, which format 1 did not name; {} for a model without plans."""
    table, spec = stripped.defaults.get("plan"), artifact.inference.plan
    if table is None or spec is None:
        return {}
    text = base64.b64encode(table.astype("<f4").tobytes()).decode()
    named = artifact.manifest.get("plans")
    return {"plans": {**(named if isinstance(named, dict) else {}), "default": spec._asdict() | {"table": text}}}


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


def _split(data: bytes) -> Iterator[tuple[Field, bytes]]:
    """Each field of a message with all its bytes, which start at the end of the previous field."""
    start = 0
    for field in fields(data, 0, len(data)):
        yield field, data[start : field.end]
        start = field.end


def _message(number: int, parts: list[bytes]) -> bytes:
    """A length-delimited field: tag, length, content."""
    content = b"".join(parts)
    return defaults.varint(number << 3 | BYTES) + defaults.varint(len(content)) + content
