"""The table of runtimes for model files, behind one protocol: see `jaxgen.inference.session.Session`."""

from __future__ import annotations

import os
from typing import Protocol, TypedDict, Unpack

from jaxgen.errors import JaxgenError, UsageError, lookup
from jaxgen.inference.model_file import Artifact
from jaxgen.inference.protobuf import WireError
from jaxgen.inference.runtimes import onnxruntime, openvino, reference, tract
from jaxgen.inference.session import Session


class Load(Protocol):
    """The loader of a runtime."""

    def __call__(
        self,
        data: bytes,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        spin: bool = True,
        provider: str | None = None,
    ) -> Session:
        """Load a model file's bytes; path: its name in messages.

        Raises MissingExtra if the runtime is not installed, JaxgenError if it cannot load the file, UsageError for an
        unsupported number of threads or provider.
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
    """The options of running a file. Defaults: onnxruntime, its CPU provider, its own number of threads, spinning."""

    runtime: str  # of RUNTIMES
    provider: str | None  # of onnxruntime.PROVIDERS
    threads: int | None
    spin: bool


def check(how: How) -> Load:
    """The chosen runtime. Raises UsageError if it is unknown, or the provider is not installed."""
    name, provider = how.get("runtime", DEFAULT), how.get("provider")
    chosen = lookup(RUNTIMES, name, "runtime")
    if provider is not None and name != DEFAULT:
        raise UsageError(f"{name} has no providers, only {DEFAULT} has")
    if provider is not None:
        onnxruntime.installed(provider)
    return chosen


def load(artifact: Artifact, **how: Unpack[How]) -> Session:
    """Load a model file into the chosen runtime, without a check of its certificate.

    Raises as `check` and the runtime's own `load` do.
    """
    chosen = check(how)
    threads, spin, provider = how.get("threads"), how.get("spin", True), how.get("provider")
    try:
        return chosen(artifact.data, artifact.path, threads=threads, spin=spin, provider=provider)
    except WireError as err:
        raise JaxgenError(f"{artifact.path}: {how.get('runtime', DEFAULT)} cannot load it: {err}") from err


def other(how: How) -> str | None:
    """The name of a chosen runtime that files are not certified with; None for the default runtime."""
    name, provider = how.get("runtime", DEFAULT), how.get("provider")
    if name == DEFAULT and provider in (None, onnxruntime.CPU):
        return None
    return name if provider is None else f"{name}'s {provider}"
