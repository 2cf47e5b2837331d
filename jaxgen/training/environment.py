"""The environment of a run: its machine and package versions."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

import jax

from jaxgen import __version__
from jaxgen.files import cache_folder

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow-datasets", "grain")


def keep_compiled() -> None:
    """Let XLA keep what it compiles in the user's cache, so that the same command starts sooner the next time.

    JAX_COMPILATION_CACHE_DIR, where it is set, names another folder; JAX_ENABLE_COMPILATION_CACHE=0 switches it off.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))


def describe_environment() -> dict[str, Any]:
    """The versions of Python and packages, the platform, devices and processes of this run."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "jaxgen": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
        "packages": versions,
    }
