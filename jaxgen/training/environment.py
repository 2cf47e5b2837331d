"""The environment of a run: its machine and package versions."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

import jax

from jaxgen import __version__

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow-datasets", "grain")


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
