"""Reading model.onnx files and their manifests: everything is checked before any of it can run.

The file is an ONNX ModelProto. One entry of its `metadata_props`, with the key "jaxgen", holds the manifest: a JSON
object that starts with `{"format": 2, "sha256": "<64 hex digits>"`. The digits are the SHA-256 of the whole file with
these digits read as zeros, so the hash covers every byte, including the manifest.

Opening and running a file needs only the manifest's section "inference" (`jaxgen.inference.manifest`) and the list
"requires", which names the features that a reader must know; the rest is a record that is ignored here. Format 1 had no
such section: it is made from the config in the manifest (`jaxgen.inference.format1`).

**The hash protects against accidents, not malice**: flipped bits, broken downloads, files rewritten by another tool.
A forger can also forge the hash, so the structure is checked as well. A jaxgen file needs only itself and ONNX's own
operators, so a file with external data (a way to read the user's files), operators of another domain (a way into native
code) or local functions is refused, whatever its hash. No check can tell what a forged graph computes, or for how long:
a server of strangers' files must give each run a deadline.

`Artifact.data` holds the checked bytes: load these, never the path again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jaxgen import __version__
from jaxgen.errors import JaxgenError
from jaxgen.files import read_bytes
from jaxgen.inference.manifest import Inference, require_known
from jaxgen.inference.onnx_safety import metadata_spans, outside_reference
from jaxgen.inference.protobuf import WireError
from jaxgen.inference.strict_json import check_type, parse_object

T = TypeVar("T")

KEY = "jaxgen"  # of the metadata entry
FORMAT = 2  # of written manifests; newer formats are refused
MAX_BYTES = 2**31 - 1  # protobuf's own limit
MAX_MANIFEST_BYTES = 2**24
ZEROS = "0" * 64
# Each format has the hash at a fixed place in the manifest, found without parsing.
PREFIXES = {number: f'{{"format": {number}, "sha256": "'.encode() for number in range(1, FORMAT + 1)}

REQUIRED: Mapping[str, type] = {"format": int, "sha256": str, "jaxgen": str}
SECTION: Mapping[int, str] = {1: "config", 2: "inference"}  # the object that each format requires besides


@dataclass(frozen=True, kw_only=True, eq=False)
class Artifact:
    """A model file that passed every check of `read`."""

    path: Path
    data: bytes = field(repr=False)  # the whole file, for a runtime
    manifest: dict[str, Any] = field(repr=False)  # as in the file; a manifest of format 1 is upgraded
    inference: Inference = field(repr=False)  # the manifest's inference section

    @property
    def sha256(self) -> str:
        """The model's identity: the file's hash, 64 lower-case hex digits."""
        return self.manifest["sha256"]

    @property
    def forebears(self) -> set[str]:
        """The hashes of files that this one was made from and that sample the same images."""
        resigned = self.manifest.get("resigned")
        hashes = (
            [entry.get("from") for entry in resigned if isinstance(entry, dict)] if isinstance(resigned, list) else []
        )
        return {value for value in (self.manifest.get("made_from"), *hashes) if isinstance(value, str)}

    @property
    def version(self) -> str:
        """The jaxgen version that exported it."""
        return self.manifest["jaxgen"]

    @property
    def config(self) -> dict[str, Any]:
        """The run's config at export as nested dicts: a record, {} if there is none."""
        config = self.manifest.get("config")
        return config if isinstance(config, dict) else {}

    def fact(self, key: str, kind: type[T]) -> T | None:
        """The config's value at a dotted key such as "data.dataset", by its current name; None if it is missing or not
        of type `kind`."""
        from jaxgen.config.renames import renamed  # not needed to run a file, and slow to load

        value: Any = renamed(self.config)[0]
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value if type(value) is kind else None

    def value(self, key: str, kind: type[T]) -> T:
        """The manifest's value at a dotted key such as "weights.sha256", of exactly this JSON type.

        Raises JaxgenError if it is missing or of another type.
        """
        value: Any = self.manifest
        for name in key.split("."):
            if not isinstance(value, dict) or name not in value:
                raise JaxgenError(f"{self.path}: its manifest has no {key!r} (made by jaxgen {self.version!a})")
            value = value[name]
        check_type(value, kind, key, str(self.path))
        return value


def read(path: str | os.PathLike[str], say: Callable[[str], object] | None = None) -> Artifact:
    """Read a model file once and check all of it, without running any of it.

    say: receives a line for each key that was read by an old name; None: stderr.
    Raises JaxgenError, in this order: no such file, not a regular file or over 2 GB; not ONNX or damaged; ONNX but not
    jaxgen's; a newer format; a different hash; external data or foreign operators; an unknown feature in `requires`; an
    inference section that is not understood.
    """
    return parse(read_bytes(path, MAX_BYTES), path, say)


def parse(
    data: bytes, path: str | os.PathLike[str], say: Callable[[str], object] | None = None
) -> Artifact:  # fmt: skip
    """Check a model file that is in memory, as `read` does; `path` is its name in messages."""
    name = str(path)
    manifest, at = _manifest(data, name)
    digest = _digest(data, at)
    if manifest["sha256"] != digest:  # as text: a flipped bit can turn 'a' into 'A'
        raise JaxgenError(
            f"{name}: its bytes are not those that were exported: a download that broke, or another tool that rewrote "
            f"it; get it again, or 'jaxgen adopt --resign {shlex.quote(name)}' measures it anew"
        )
    try:
        complaint = outside_reference(data)
    except WireError as err:
        raise _damaged(name, err) from err
    if complaint:
        raise JaxgenError(f"{name}: refused: {complaint}; a jaxgen file is complete in itself")
    if manifest["format"] == 1:
        from jaxgen.inference.format1 import upgraded  # imports the config: slow to load

        manifest = upgraded(manifest, name, say)
    require_known(manifest.get("requires", []), name)
    inference = Inference.parse(manifest["inference"], name)
    return Artifact(path=Path(path), data=data, manifest=manifest, inference=inference)


def manifest_of(data: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest in a file's bytes, without a check of the hash.

    Raises JaxgenError, as `read`, if it is not ONNX, not jaxgen's or of a newer format.
    """
    return _manifest(data, str(path))[0]


def is_intact(data: bytes) -> bool:
    """Whether the bytes match the hash in their manifest. Raises JaxgenError, as `manifest_of`."""
    manifest, at = _manifest(data, "this file")
    return manifest["sha256"] == _digest(data, at)


def dump_manifest(manifest: Mapping[str, Any]) -> str:
    """The manifest as JSON text for `metadata_props`: the format first, then 64 zeros for the hash.

    Missing entries "jaxgen" (the version) and "requires" (an empty list) are added; "inference" is required.
    Raises JaxgenError on a missing or mistyped entry, or on values that JSON cannot write (inf and nan included).
    """
    entries = {"format": FORMAT, "sha256": ZEROS, "jaxgen": __version__, "requires": []}
    entries |= {key: value for key, value in manifest.items() if key not in ("format", "sha256")}
    _check_types(entries, "this manifest")
    try:
        return json.dumps(entries, allow_nan=False)
    except (TypeError, ValueError) as err:
        raise JaxgenError(f"this manifest cannot be written as JSON: {err}") from err


def stamp(model_bytes: bytes) -> bytes:
    """Replace the zeros in the manifest of a serialized model, from `dump_manifest`, by its hash.

    Raises JaxgenError if the bytes are no ONNX model, hold no such manifest or are already stamped.
    """
    manifest, at = _manifest(model_bytes, "this model")
    if manifest["sha256"] != ZEROS:
        raise JaxgenError("this model is stamped already; give it a new manifest from dump_manifest first")
    return b"".join((model_bytes[:at], _digest(model_bytes, at).encode(), model_bytes[at + len(ZEROS) :]))


def _manifest(data: bytes, name: str) -> tuple[dict[str, Any], int]:
    """The manifest with its types checked, and the offset of its hash in the file."""
    try:
        spans = metadata_spans(data, KEY.encode())
    except WireError as err:
        raise _damaged(name, err) from err
    if not spans:
        raise JaxgenError(f"{name}: is an ONNX file, but not one of jaxgen's; those come from 'jaxgen export'")
    if len(spans) > 1:
        raise JaxgenError(f"{name}: is damaged or forged: it has {len(spans)} jaxgen manifests, expected one")
    start, end = spans[0]
    try:
        manifest = parse_object(
            data[start : min(end, start + MAX_MANIFEST_BYTES + 1)], MAX_MANIFEST_BYTES, "its manifest"
        )
    except ValueError as err:
        raise _damaged(name, err) from err
    _check_format(manifest, name)
    _check_types(manifest, f"{name}: its manifest")
    prefix = PREFIXES[manifest["format"]]
    if not data.startswith(prefix, start) or len(manifest["sha256"]) != len(ZEROS):
        raise _damaged(name, "its manifest does not start with its format and hash")
    return manifest, start + len(prefix)


def _check_format(manifest: Mapping[str, Any], name: str) -> None:
    number = manifest.get("format")
    if type(number) is not int or number < 1:
        raise _damaged(name, "its manifest has no format number")
    if number > FORMAT:
        raise JaxgenError(f"{name}: made by a newer jaxgen (format {number}, this one reads {FORMAT}); upgrade jaxgen")


def _check_types(manifest: Mapping[str, Any], name: str) -> None:
    """Raise JaxgenError if a required entry is missing or mistyped; other entries are checked by their readers."""
    for key, kind in {**REQUIRED, SECTION[manifest["format"]]: dict}.items():
        if key not in manifest:
            raise JaxgenError(f"{name} has no {key!r}")
        check_type(manifest[key], kind, key, name)


def _digest(data: bytes, at: int) -> str:
    """SHA-256 of data with the 64 bytes at `at` read as zeros, in lower-case hex, without a copy."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:at])
    digest.update(ZEROS.encode())
    digest.update(view[at + len(ZEROS) :])
    return digest.hexdigest()


def _damaged(name: str, detail: object) -> JaxgenError:
    return JaxgenError(f"{name}: is not an ONNX file or is damaged ({detail}); get it again or export it again")
