"""python -m jaxgen_serve.models.sandbox NAME KIND < FILE: load an untrusted model and run it once in limited memory."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil

from jaxgen.errors import JaxgenError

if TYPE_CHECKING:
    from jaxgen.inference.model_file import Artifact

VERBS = {"sampler": "sampled", "encoder": "read"}
MEMORY = 4 * 2**30  # bytes of address space


def attempt(name: str, data: bytes, seconds: float, kind: str = "sampler") -> None:
    """Load and run a file in another process, with limited memory and time.

    kind: 'sampler' or 'encoder', which the file must be. Raises JaxgenError if it fails there, or takes longer.
    """
    command = [sys.executable, "-P", "-m", "jaxgen_serve.models.sandbox", name, kind]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as err:
        raise JaxgenError(f"{name}: refused: it {VERBS[kind]} no image in {seconds:g} seconds") from err
    if done.returncode:
        lines = done.stdout.decode(errors="replace").strip().splitlines()
        raise JaxgenError(lines[-1] if lines else f"{name}: refused: it crashed, or took too much memory")


def main(name: str, kind: str) -> int:
    """Returns 0, or 3 with one line on stdout."""
    limit()
    from jaxgen.inference.model_file import parse

    try:
        {"sampler": _sample, "encoder": _read}[kind](parse(sys.stdin.buffer.read(), name))
    except JaxgenError as err:
        print(" ".join(str(err).split()))
        return 3
    except Exception as err:
        print(f"{name}: refused: {type(err).__name__} when it was tried")
        return 3
    return 0


def _sample(artifact: Artifact) -> None:
    import numpy as np

    from jaxgen.inference.model import Model
    from jaxgen_serve.models.description import described

    model = Model.of(artifact, threads=1)
    one = np.zeros(1, np.int64)
    plan = model.plan()[-1:] if model.inference.process else None
    images, _ = model.sample(one, one, plan=plan)
    if images.shape != (1, *model.shape) or images.dtype != np.uint8:
        raise JaxgenError(f"{artifact.path}: expected an image {model.shape}, got {images.dtype} {images.shape}")
    json.dumps(described(model, name=str(artifact.path), size=0, max_steps=1), allow_nan=False)


def _read(artifact: Artifact) -> None:
    import numpy as np

    from jaxgen.inference.predictor import Predictor

    model = Predictor.of(artifact, threads=1)
    model.read(np.zeros((1, *model.shape), np.uint8))


def limit() -> None:
    """Allow this process MEMORY more than it has now, where the system supports it."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(OSError, ValueError):  # some systems support no limit
        now = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
