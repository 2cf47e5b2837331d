"""A model.onnx file and the manifest inside it: read once, checked whole, refused before anything of it could run.

The file is an ONNX ModelProto. One entry of its `metadata_props`, with the key "jaxgen", holds the manifest: a JSON
object that starts with `{"format": 2, "sha256": "<64 hex digits>"`. The digits are the SHA-256 of the whole file with
themselves read as zeros, so every byte of the file counts, the manifest's included.

Of the manifest, its section "inference" is all that opening and running the file needs (`jaxgen.inference.manifest`),
and the list "requires" names what a reader must know to open it; all else is a record, which nothing here looks at.
Format 1 had no such section: it is made of the config that those manifests hold (`jaxgen.inference.format1`).

**The hash protects against accidents, not malice**: a bit that flipped, a download that stopped, a file that another
tool rewrote. Whoever forges a file can forge its hash. Therefore the structure is checked as well: a jaxgen file needs
nothing but itself and ONNX's own operators, so one that names other files (external data: a way to read what the user
can read), operators of another domain (a way into native code) or local functions is refused, whatever its hash says.
What a forged graph computes, and for how long, no check here can tell: who serves strangers' files gives each run a
deadline.

`Artifact.data` is what was checked: give these bytes to onnxruntime, and never the path again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jaxgen import __version__
from jaxgen.errors import JaxgenError
from jaxgen.files import read_bytes
from jaxgen.images import MAX_PIXELS, png_bytes, png_pixels
from jaxgen.inference.manifest import Inference, require_known
from jaxgen.inference.onnx_safety import metadata_spans, outside_reference
from jaxgen.inference.protobuf import WireError

T = TypeVar("T")

KEY = "jaxgen"  # of the metadata entry
FORMAT = 2  # of the manifests that are written; a reader refuses what is newer
MAX_BYTES = 2**31 - 1  # protobuf's own limit
MAX_MANIFEST_BYTES = 2**24
ZEROS = "0" * 64
# The hash has one place in a manifest of each format, told without parsing.
PREFIXES = {number: f'{{"format": {number}, "sha256": "'.encode() for number in range(1, FORMAT + 1)}

REQUIRED: Mapping[str, type] = {"format": int, "sha256": str, "jaxgen": str}
SECTION: Mapping[int, str] = {1: "config", 2: "inference"}  # what each format must have besides: an object
JSON_NAMES = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
JSON_NAMES |= {list: "a list", dict: "an object", type(None): "null"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Artifact:
    """A model file that passed every check of `read`."""

    path: Path
    data: bytes = field(repr=False)  # the file; what onnxruntime gets
    manifest: dict[str, Any] = field(repr=False)  # as it stands in the file; of format 1, with "inference" made of it
    inference: Inference = field(repr=False)  # the manifest's section of that name

    @property
    def sha256(self) -> str:
        """The model's identity: the hash of the file, 64 lower-case hex digits."""
        return self.manifest["sha256"]

    @property
    def version(self) -> str:
        """The jaxgen that exported it."""
        return self.manifest["jaxgen"]

    @property
    def config(self) -> dict[str, Any]:
        """The run's config as nested plain dicts, as it was when it was exported: a record, {} if there is none."""
        config = self.manifest.get("config")
        return config if isinstance(config, dict) else {}

    def fact(self, key: str, kind: type[T]) -> T | None:
        """What that record says under a dotted key such as "data.dataset", by today's name of it; None if it does not
        say it, or says something else than a `kind`."""
        from jaxgen.config.renames import renamed  # not needed to run a file, and slow to load

        found: Any = renamed(self.config)[0]
        for name in key.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        return found if type(found) is kind else None

    def value(self, key: str, kind: type[T]) -> T:
        """The manifest's value at a dotted key such as "weights.sha256", of exactly this JSON type.

        Raises JaxgenError if it is missing or of another type.
        """
        found: Any = self.manifest
        for name in key.split("."):
            if not isinstance(found, dict) or name not in found:
                raise JaxgenError(f"{self.path}: its manifest has no {key!r} (made by jaxgen {self.version!a})")
            found = found[name]
        _check_type(found, kind, key, str(self.path))
        return found


def read(path: str | os.PathLike[str], say: Callable[[str], object] | None = None) -> Artifact:
    """Read a model file once and check all of it; nothing of it runs.

    say: hears, in a line each, which keys of an earlier jaxgen were read by another name; None: stderr does.
    Raises JaxgenError, in this order: no such file, not a regular one or over 2 GB; not ONNX or damaged; ONNX but not
    jaxgen's; of a newer format; its hash differs; it reaches outside itself (external data, foreign operators); it
    requires what this jaxgen does not know; its inference section is not understood.
    """
    return parse(read_bytes(path, MAX_BYTES), path, say)


def parse(
    data: bytes, path: str | os.PathLike[str], say: Callable[[str], object] | None = None
) -> Artifact:  # fmt: skip
    """As `read`, on bytes that are in memory already; `path` is what messages call them."""
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
        from jaxgen.inference.format1 import upgraded  # which knows the config: slow to load

        manifest = upgraded(manifest, name, say)
    require_known(manifest.get("requires", []), name)
    inference = Inference.parse(manifest["inference"], name)
    return Artifact(path=Path(path), data=data, manifest=manifest, inference=inference)


def manifest_of(data: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest as it stands in a file's bytes, which need not be those that were exported.

    Raises JaxgenError, as `read`, if it is not ONNX, not jaxgen's or of a newer format.
    """
    return _manifest(data, str(path))[0]


def is_intact(data: bytes) -> bool:
    """Whether the bytes are those of the hash in their manifest. Raises JaxgenError, as `manifest_of`."""
    manifest, at = _manifest(data, "this file")
    return manifest["sha256"] == _digest(data, at)


def dump_manifest(manifest: Mapping[str, Any]) -> str:
    """The manifest as the JSON text that goes into `metadata_props`: format first, then 64 zeros for the hash.

    "jaxgen", the version, is added where it is missing, and so is an empty "requires"; "inference" must be there.
    Raises JaxgenError on a missing or mistyped entry, or on what JSON cannot write (inf and nan included).
    """
    entries = {"format": FORMAT, "sha256": ZEROS, "jaxgen": __version__, "requires": []}
    entries |= {key: value for key, value in manifest.items() if key not in ("format", "sha256")}
    _check_types(entries, "this manifest")
    try:
        return json.dumps(entries, allow_nan=False)
    except (TypeError, ValueError) as err:
        raise JaxgenError(f"this manifest cannot be written as JSON: {err}") from err


def stamp(model_bytes: bytes) -> bytes:
    """A serialized model whose manifest came from `dump_manifest`, with the zeros replaced by its hash.

    Raises JaxgenError if the bytes are no ONNX model, hold no such manifest or were stamped before.
    """
    manifest, at = _manifest(model_bytes, "this model")
    if manifest["sha256"] != ZEROS:
        raise JaxgenError("this model is stamped already; give it a new manifest from dump_manifest first")
    return b"".join((model_bytes[:at], _digest(model_bytes, at).encode(), model_bytes[at + len(ZEROS) :]))


def encode_images(images: np.ndarray) -> list[str]:
    """uint8 [N, H, W, C], C 1 or 3, as N base64 PNGs: how a certificate keeps its probe."""
    return [base64.b64encode(png_bytes(image)).decode() for image in images]


def decode_images(texts: Sequence[str]) -> np.ndarray:
    """The inverse of `encode_images`: uint8 [N, H, W, C].

    Raises JaxgenError on anything but one or more base64 PNGs of one shape, with at most MAX_PIXELS together.
    """
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
        raise JaxgenError("expected a list of one or more base64 PNGs")
    images: list[np.ndarray] = []
    for number, text in enumerate(texts):
        try:
            png = base64.b64decode(text, validate=True)
        except ValueError as err:
            raise JaxgenError(f"image {number} is not base64: {err}") from err
        images.append(png_pixels(png, f"image {number}", MAX_PIXELS // len(texts)))
        if images[-1].shape != images[0].shape:
            raise JaxgenError(f"image {number}: expected {images[0].shape} as image 0, got {images[-1].shape}")
    return np.stack(images)


def _manifest(data: bytes, name: str) -> tuple[dict[str, Any], int]:
    """The manifest, its types checked, and the offset of its hash in the file."""
    try:
        spans = metadata_spans(data, KEY.encode())
    except WireError as err:
        raise _damaged(name, err) from err
    if not spans:
        raise JaxgenError(f"{name}: is an ONNX file, but not one of jaxgen's; those come from 'jaxgen export'")
    if len(spans) > 1:
        raise JaxgenError(f"{name}: is damaged or forged: it has {len(spans)} jaxgen manifests, expected one")
    start, end = spans[0]
    manifest = _parse_json(data[start : min(end, start + MAX_MANIFEST_BYTES + 1)], name)
    _check_format(manifest, name)
    _check_types(manifest, f"{name}: its manifest")
    prefix = PREFIXES[manifest["format"]]
    if not data.startswith(prefix, start) or len(manifest["sha256"]) != len(ZEROS):
        raise _damaged(name, "its manifest does not start with its format and hash")
    return manifest, start + len(prefix)


def _parse_json(text: bytes, name: str) -> dict[str, Any]:
    """A JSON object that strict JSON can write again: no key twice, no inf or nan, no half of a surrogate pair."""
    try:
        if len(text) > MAX_MANIFEST_BYTES:
            raise ValueError(f"more than {MAX_MANIFEST_BYTES} bytes")
        manifest = json.loads(text.decode(), object_pairs_hook=_unique)
        json.dumps(manifest, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as err:
        raise _damaged(name, f"its manifest is no JSON: {ascii(str(err))[1:-1]}") from err
    if not isinstance(manifest, dict):
        raise _damaged(name, "its manifest is no JSON object")
    return manifest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key occurs twice")
    return table


def _check_format(manifest: Mapping[str, Any], name: str) -> None:
    found = manifest.get("format")
    if type(found) is not int or found < 1:
        raise _damaged(name, "its manifest has no format number")
    if found > FORMAT:
        raise JaxgenError(f"{name}: made by a newer jaxgen (format {found}, this one reads {FORMAT}); upgrade jaxgen")


def _check_types(manifest: Mapping[str, Any], name: str) -> None:
    """Raise JaxgenError where a required entry is missing or mistyped; the others are their readers' business."""
    for key, kind in {**REQUIRED, SECTION[manifest["format"]]: dict}.items():
        if key not in manifest:
            raise JaxgenError(f"{name} has no {key!r}")
        _check_type(manifest[key], kind, key, name)


def _check_type(found: object, kind: type, key: str, name: str) -> None:
    allowed = (float, int) if kind is float else (kind,)  # JSON has one sort of number
    if type(found) not in allowed:  # and not isinstance: true is no integer
        want, got = (JSON_NAMES.get(sort, sort.__name__) for sort in (kind, type(found)))
        raise JaxgenError(f"{name}: {key!r} must be {want}, got {got}")


def _digest(data: bytes, at: int) -> str:
    """SHA-256 of data with the 64 bytes at `at` read as zeros, in lower-case hex; nothing is copied."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:at])
    digest.update(ZEROS.encode())
    digest.update(view[at + len(ZEROS) :])
    return digest.hexdigest()


def _damaged(name: str, detail: object) -> JaxgenError:
    return JaxgenError(f"{name}: is not an ONNX file or is damaged ({detail}); get it again or export it again")
