"""python -m jaxgen_serve.models.sandbox NAME KIND < FILE: load a stranger's model and run it once in little memory."""

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

DEEDS = {"sampler": "drew", "encoder": "read"}
MEMORY = 4 * 2**30  # bytes of address space


def attempt(name: str, data: bytes, seconds: float, kind: str = "sampler") -> None:
    """Load and run a file elsewhere, where it can take neither this process's memory nor its time.

    kind: 'sampler' or 'encoder', which the file must be. Raises JaxgenError if it fails there, or takes longer.
    """
    command = [sys.executable, "-P", "-m", "jaxgen_serve.models.sandbox", name, kind]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as err:
        raise JaxgenError(f"{name}: refused: it {DEEDS[kind]} no image in {seconds:g} seconds") from err
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        raise JaxgenError(said[-1] if said else f"{name}: refused: it crashed, or took too much memory")


def main(name: str, kind: str) -> int:
    """0, or 3 with one line on stdout."""
    limit()
    from jaxgen.inference.model_file import parse

    try:
        {"sampler": _draw, "encoder": _read}[kind](parse(sys.stdin.buffer.read(), name))
    except JaxgenError as err:
        print(" ".join(str(err).split()))
        return 3
    except Exception as err:
        print(f"{name}: refused: {type(err).__name__} when it was tried")
        return 3
    return 0


def _draw(artifact: Artifact) -> None:
    import numpy as np

    from jaxgen.inference.sampler import Model
    from jaxgen_serve.models.description import described

    model = Model.of(artifact, threads=1)
    one = np.zeros(1, np.int64)
    plan = model.plan()[-1:] if model.inference.process else None
    images, _ = model.sample(one, one, plan=plan)
    if images.shape != (1, *model.shape) or images.dtype != np.uint8:
        raise JaxgenError(f"{artifact.path}: expected an image {model.shape}, got {images.dtype} {images.shape}")
    json.dumps(described(model, name=str(artifact.path), size=0, encoder=False, max_steps=1), allow_nan=False)


def _read(artifact: Artifact) -> None:
    import numpy as np

    from jaxgen.inference.predictor import Predictor

    model = Predictor.of(artifact, threads=1)
    model.read(np.zeros((1, *model.shape), np.uint8))


def limit() -> None:
    """At most MEMORY more than now from here on, where the system can be told so."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(OSError, ValueError):  # some systems know no limit
        now = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
