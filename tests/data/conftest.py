"""Nothing here touches the user's own cache, folder or network; what looks like MNIST is made up and small."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data.mnist import MNIST, IdxSet

NOWHERE = "http://127.0.0.1:9"  # the discard port: refuses at once


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXGEN_DATA_DIR", raising=False)
    for scheme in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(scheme, NOWHERE)
    monkeypatch.setenv("no_proxy", "localhost")
    monkeypatch.setenv("npm_config_registry", NOWHERE)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))


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


@pytest.fixture(scope="session")
def arrays() -> dict[str, np.ndarray]:
    """A very small MNIST: 70 + 20 pictures of noise."""
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": rng.integers(0, 256, (70, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": rng.integers(0, 10, 70).astype(np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (20, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": rng.integers(0, 10, 20).astype(np.uint8),
    }


@pytest.fixture(scope="session")
def tiny(arrays) -> IdxSet:
    """MNIST, but for the hashes of `arrays`."""
    hashes = {stem: hashlib.sha256(idx_bytes(array)).hexdigest() for stem, array in arrays.items()}
    return dataclasses.replace(MNIST, sha256=hashes)
