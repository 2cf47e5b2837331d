"""IDX files, made by the letter of their format."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

NOWHERE = "http://127.0.0.1:9"  # the discard port: refuses at once


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file by the letter of its format."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + b"".join(struct.pack(">I", axis) for axis in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, arrays: dict[str, np.ndarray], *, compress: bool = True, dots: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in arrays.items():
        name = stem.replace("-idx", ".idx") if dots else stem
        content = idx_bytes(array)
        (folder / (name + ".gz" if compress else name)).write_bytes(gzip.compress(content) if compress else content)
