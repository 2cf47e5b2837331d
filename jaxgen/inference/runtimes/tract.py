"""tract, a small engine in Rust, for files that sample in one evaluation and files that read images.

It runs in one thread and cannot be stopped: after a deadline the caller returns, and the run continues to its end.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import JaxgenError, extra, one_line
from jaxgen.inference.defaults import required, without_default
from jaxgen.inference.outside import Outside, require_one_thread
from jaxgen.inference.session import Feeds, Session, Threaded

NAME = "tract"


def load(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    spin: bool = True,
    provider: str | None = None,
) -> Session:
    """Raises JaxgenError if tract cannot load the file, UsageError for more than one thread."""
    require_one_thread(threads, NAME)
    with extra(NAME):
        import tract

    model, defaults, names = required(data)  # tract would turn defaults into constants
    if "plan" in {*defaults, *without_default(data)}:
        raise JaxgenError(f"{path}: {NAME} cannot load it: it samples by a plan, a loop that tract does not read")
    with tempfile.TemporaryDirectory() as folder:  # tract loads only from files
        file = Path(folder) / "model.onnx"
        file.write_bytes(model)
        try:
            typed = tract.onnx().load(file).into_model()
            inputs = {typed.input_name(number): _shape(fact) for number, fact in enumerate(typed.input_facts())}
            # In the file's order: tract renames the outputs.
            outputs = {name: _shape(fact) for name, fact in zip(names, typed.output_facts(), strict=True)}
            runnable = typed.into_runnable()
        except tract.TractError as err:
            cause = str(err).partition("Stack backtrace")[0]
            raise JaxgenError(f"{path}: {NAME} cannot load it: {one_line(tract.TractError(cause))}") from err

    def infer(wanted: Sequence[str], feeds: Feeds) -> list[np.ndarray]:
        results = runnable.run([np.ascontiguousarray(feeds[name]) for name in inputs])
        arrays = {name: tensor.to_numpy() for name, tensor in zip(outputs, results, strict=True)}
        return [arrays[name] for name in wanted]

    return Threaded(path, NAME, inputs, outputs, Outside(infer, defaults))


def _shape(fact: Any) -> list[int | str]:
    """The shape of a tensor: numbers, and names of dynamic dimensions."""
    sizes = [str(size) for size in fact.dims()]
    return [int(size) if size.isdecimal() else size for size in sizes]
