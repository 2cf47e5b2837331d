"""Nothing here touches the user's own cache, folder or network; what looks like MNIST is made up and small."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from idx_files import NOWHERE, idx_bytes

from jaxgen.data.mnist import MNIST, IdxSet


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXGEN_DATA_DIR", raising=False)
    for scheme in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(scheme, NOWHERE)
    monkeypatch.setenv("no_proxy", "localhost")
    monkeypatch.setenv("npm_config_registry", NOWHERE)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))


@pytest.fixture(scope="session")
def arrays() -> dict[str, np.ndarray]:
    """A very small MNIST: 70 + 20 images of noise."""
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
