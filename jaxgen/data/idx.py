"""IDX files, the original format of MNIST: four files, each checked by the SHA-256 of its decompressed content.

Format: two zero bytes, the type (0x08: unsigned bytes), the number of axes, each axis as a big-endian uint32, the
values.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxgen.errors import JaxgenError

Splits = dict[str, tuple[np.ndarray, np.ndarray]]  # split -> images uint8 [N, H, W, 1], labels int32 [N]

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
STEMS = tuple(stem for pair in FILES.values() for stem in pair)
TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MAX_BYTES = 1 << 28  # of one file, decompressed; MNIST's largest has 47 million


def find(folder: Path) -> dict[str, Path]:
    """Those of the four IDX files that are in `folder`, by stem: raw or .gz, with '-' or '.' before 'idx'."""
    files = {}
    for stem in STEMS:
        spellings = (stem, stem.replace("-idx", ".idx"))
        paths = (folder / (spelling + suffix) for spelling in spellings for suffix in ("", ".gz"))
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            files[stem] = path
    return files


def read(path: Path) -> bytes:
    """The decompressed content of an IDX file. Raises JaxgenError if it cannot be read."""
    try:
        return decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error, ValueError) as err:
        raise JaxgenError(f"{path}: cannot be read as an IDX file ({err}); replace it") from err


def decompress(content: bytes) -> bytes:
    """`content`, decompressed if it is gzip. Raises ValueError above MAX_BYTES, and gzip's errors."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        plain = stream.read(MAX_BYTES + 1)
    if len(plain) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes when decompressed")
    return plain


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check(name: str, content: bytes, expected: str) -> None:
    """Raise JaxgenError, naming the file, unless the SHA-256 of its decompressed bytes is `expected`."""
    check_digest(name, sha256(content), expected)


@functools.lru_cache(maxsize=64)
def digest(path: Path, size: int, modified: int) -> str:
    """The SHA-256 of a file's decompressed bytes; size, modified: of its stat, so that it is read again once it has
    changed. Raises as `read` does."""
    return sha256(read(path))


def check_digest(name: str, digest: str, expected: str) -> None:
    """As `check`, of a SHA-256 that is known already."""
    if digest != expected:
        raise JaxgenError(f"{name}: expected SHA-256 {expected} (decompressed), got {digest}; replace the file")


def parse(content: bytes, name: str) -> np.ndarray:
    """The array in an IDX file, read-only. Raises JaxgenError if the header and the length disagree."""
    known = len(content) >= 4 and content[:2] == b"\0\0" and content[2] in TYPES
    axes, dtype = (content[3], np.dtype(TYPES[content[2]])) if known else (0, np.dtype(np.uint8))
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", content[4:start]) if 0 < axes < 5 and len(content) >= start else ()
    if not shape or len(content) != start + dtype.itemsize * math.prod(shape):
        raise JaxgenError(f"{name}: not a whole IDX file; replace it")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def serialize(array: np.ndarray) -> bytes:
    """The IDX file of a uint8 array; the inverse of `parse`."""
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + np.ascontiguousarray(array, np.uint8).tobytes()


def to_splits(contents: Mapping[str, bytes]) -> Splits:
    """Parse the four files' contents, by stem, into images and labels."""
    splits = {}
    for split, (images, labels) in FILES.items():
        splits[split] = (parse(contents[images], images)[..., None], parse(contents[labels], labels).astype(np.int32))
    return splits
