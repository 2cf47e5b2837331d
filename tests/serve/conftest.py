"""Servers and models that tests share; another server is started by `servers.serving`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from browser import browser  # noqa: F401  (a fixture)
from engines import served
from servers import TOKEN, Server, forged, loops_for_ever, serving
from tiny import Exported, exported

from jaxgen.config import VAE, VAEConfig
from jaxgen_serve.models.registry import ServedModel

DEADLINE = 3  # seconds, of `strict`


@pytest.fixture(scope="session")
def plane(models) -> Exported:
    """An unconditional VAE of two latents."""
    return exported(VAE(model=VAEConfig(latent=2, hidden=(8,))), (), models / "plane")


@pytest.fixture(scope="session")
def model_files(conditional, family, plane) -> dict[str, Path]:
    """By the names that the shared server gives them: a DDPM with classes, a VAE with classes, one of two latents."""
    return {"classes": conditional.onnx, "plane": plane.onnx, "vae": family("vae").onnx}


@pytest.fixture(scope="session")
def shelf(model_files, tmp_path_factory) -> Path:
    """A folder of them, encoders beside."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, path in model_files.items():
        shutil.copy(path, folder / f"{name}.onnx")
        encoder = path.with_suffix(".encoder.onnx")
        if encoder.exists():
            shutil.copy(encoder, folder / f"{name}.encoder.onnx")
    return folder


@pytest.fixture(scope="session")
def server(shelf, tmp_path_factory) -> Iterator[Server]:
    """Shared: nobody may change its models. It takes uploads."""
    data = tmp_path_factory.mktemp("server")
    with serving(shelf, "--allow-uploads", "--max-queue", 256, data=data) as running:
        yield running


@pytest.fixture(scope="session")
def client(server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def strict(model_files, tmp_path_factory) -> Iterator[Server]:
    """Shared, too: with a token, another site's origin, a short queue and deadline, and a folder of its own in which
    tests may change files: 'plane' and 'runaway', which never ends, are there."""
    folder = tmp_path_factory.mktemp("changing")
    shutil.copy(model_files["plane"], folder / "plane.onnx")
    (folder / "runaway.onnx").write_bytes(forged(model_files["plane"], proto=loops_for_ever))
    arguments = ("--allow-uploads", "--cors", "https://friend.example", "--max-queue", 16, "--deadline", DEADLINE)
    with serving(folder, *arguments, data=tmp_path_factory.mktemp("strict"), JAXGEN_TOKEN=TOKEN) as running:
        yield replace(running, folder=folder, token=TOKEN)


@pytest.fixture(scope="session")
def insider(strict) -> Iterator[httpx.Client]:
    """A client of `strict` that has the token."""
    with strict.client() as client:
        yield client


@pytest.fixture(scope="module")
def vae(family) -> ServedModel:
    return served(family("vae").onnx, "vae")
