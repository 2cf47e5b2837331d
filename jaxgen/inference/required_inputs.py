"""Model files in which every input must be fed, for clients that cannot override an input's default.

Such a file holds the same graph less the defaults of `plan`, `guidance`, `state` and `latent`; whoever runs it feeds
them: the plan and the guidance that the manifest names, an empty state or latent for none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from jaxgen.errors import JaxgenError
from jaxgen.inference import defaults
from jaxgen.inference.model_file import KEY, Artifact, dump_manifest, parse, stamp
from jaxgen.inference.onnx_safety import METADATA, metadata_spans
from jaxgen.inference.own_plan import own_table
from jaxgen.inference.protobuf import BYTES, Field, WireError, fields
from jaxgen.sampling import sampler_spec


def with_required_inputs(artifact: Artifact) -> Artifact:
    """The same model without a default of any input; a file that has none is returned as it is.

    Its manifest is the file's own, which "made_from" names by its SHA-256: the certificate in it was measured there,
    on the same graph with the same values fed by default. Raises JaxgenError if the graph's inputs cannot be read.
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
    manifest = dump_manifest({**artifact.manifest, "made_from": artifact.sha256})
    entry = _message(METADATA, [_message(1, [KEY.encode()]), _message(2, [manifest.encode()])])
    return parse(stamp(b"".join([*others, entry])), artifact.path)


def fed_by_default(names: Iterable[str], artifact: Artifact) -> dict[str, np.ndarray]:
    """What these inputs of a model's graph take unless told otherwise."""
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
    """Each field of a message and all its bytes, whose tag begins where the last field ends."""
    start = 0
    for field in fields(data, 0, len(data)):
        yield field, data[start : field.end]
        start = field.end


def _message(number: int, parts: list[bytes]) -> bytes:
    """A field that holds bytes, a message or text: tag, length, content."""
    content = b"".join(parts)
    return defaults.varint(number << 3 | BYTES) + defaults.varint(len(content)) + content
