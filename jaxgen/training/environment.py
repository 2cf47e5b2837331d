"""The environment of a run: its machine and package versions, and what of them its numbers depend on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax

from jaxgen import __version__
from jaxgen.files import cache_folder
from jaxgen.models import numerics

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow-datasets", "grain")
COMPUTING = ("jax", "jaxlib", "flax", "optax")  # those that compute a step
POOL = "NPROC"  # the environment variable that says how many threads XLA has on a CPU


def keep_compiled() -> None:
    """Let XLA keep what it compiles in the user's cache, so that the same command starts sooner the next time.

    JAX_COMPILATION_CACHE_DIR, where it is set, names another folder; JAX_ENABLE_COMPILATION_CACHE=0 switches it off.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))


def usable_cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool_size() -> int:
    """The threads of XLA's pool on a CPU, which takes NPROC for it, or else one for each core that it may use."""
    told = os.environ.get(POOL, "")
    return int(told) if told.isdecimal() and int(told) else usable_cores()


def describe_environment() -> dict[str, Any]:
    """What a session of this run has: versions of Python and packages, platform, devices, processes, and settings.

    cpu_threads: as `pool_size`; jax_config: as `numerics.settings`.
    """
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
        "backend": jax.default_backend(),
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
        "cpu_threads": pool_size(),
        "jax_config": numerics.settings(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "packages": versions,
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two sessions of that on which the bits of a run depend, in words; [] if nothing does.

    What one of them did not record, as versions before 0.3 did not, is left out.
    """
    found = []

    def compare(what: str, one: Any, other: Any) -> None:
        if one is not None and other is not None and one != other:
            found.append(f"{what} {one} -> {other}")

    old, new = (dict(session.get("packages") or {}) for session in (before, now))
    for package in COMPUTING:
        compare(package, old.get(package), new.get(package))
    compare("backend", before.get("backend"), now.get("backend"))
    compare("devices", *(_count(session.get("devices")) for session in (before, now)))
    if now.get("backend") == "cpu":
        compare("threads of XLA", before.get("cpu_threads"), now.get("cpu_threads"))
    compare("XLA_FLAGS", *(_quoted(session.get("xla_flags")) for session in (before, now)))
    old, new = (dict(session.get("jax_config") or {}) for session in (before, now))
    for name in sorted(old.keys() & new.keys()):
        compare(name, old[name], new[name])
    return found


def _count(devices: object) -> int | None:
    return len(devices) if isinstance(devices, list) else None


def _quoted(text: object) -> str | None:
    return repr(text.strip()) if isinstance(text, str) else None
