"""The runtimes that can run a model file, by name, behind one protocol: see `jaxgen.inference.session.Session`."""

from __future__ import annotations

import os
from typing import Protocol, TypedDict, Unpack

from jaxgen.errors import JaxgenError, UsageError, lookup
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.protobuf import WireError
from jaxgen.inference.runtimes import onnxruntime, openvino, reference, tract
from jaxgen.inference.session import Session


class Load(Protocol):
    """A runtime."""

    def __call__(
        self,
        data: bytes,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        spin: bool = True,
        provider: str | None = None,
    ) -> Session:
        """A model file's bytes, loaded; path is what messages call it.

        Raises MissingExtra if the runtime is not installed, JaxgenError if it cannot load the file, UsageError for a
        number of threads or a provider that it cannot have.
        """
        ...


DEFAULT = onnxruntime.NAME
RUNTIMES: dict[str, Load] = {
    onnxruntime.NAME: onnxruntime.load,
    openvino.NAME: openvino.load,
    tract.NAME: tract.load,
    reference.NAME: reference.load,
}


class How(TypedDict, total=False):
    """What a person may say of how a file is run. What is left out is onnxruntime, its CPU provider, and as many
    threads as it thinks right, which wait with a busy core."""

    runtime: str  # of RUNTIMES
    provider: str | None  # of onnxruntime.PROVIDERS
    threads: int | None
    spin: bool


def check(how: How) -> Load:
    """The runtime that was chosen. Raises UsageError for an unknown one, or a provider that is not there."""
    name, provider = how.get("runtime", DEFAULT), how.get("provider")
    chosen = lookup(RUNTIMES, name, "runtime")
    if provider is not None and name != DEFAULT:
        raise UsageError(f"a provider is {DEFAULT}'s: {name} has none")
    if provider is not None:
        onnxruntime.installed(provider)
    return chosen


def load(artifact: Artifact, **how: Unpack[How]) -> Session:
    """A model file in the runtime that was chosen; whether it gives the file's images there is not looked at.

    Raises what `check` and the runtime's own `load` raise.
    """
    chosen = check(how)
    threads, spin, provider = how.get("threads"), how.get("spin", True), how.get("provider")
    try:
        return chosen(artifact.data, artifact.path, threads=threads, spin=spin, provider=provider)
    except WireError as err:
        raise JaxgenError(f"{artifact.path}: {how.get('runtime', DEFAULT)} cannot load it: {err}") from err


def other(how: How) -> str | None:
    """What a person chose that files are not certified with, in words; None: the default, which they are."""
    name, provider = how.get("runtime", DEFAULT), how.get("provider")
    if name == DEFAULT and provider in (None, onnxruntime.CPU):
        return None
    return name if provider is None else f"{name}'s {provider}"
