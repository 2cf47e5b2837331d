"""The model file of a run folder, exported into the user's cache the first time that a command asks for it."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from jaxgen.cli.progress import current
from jaxgen.errors import JaxgenError, MissingExtra

NEEDED = ("jax", "flax", "orbax", "torch", "onnx", "onnxscript")  # by `jaxgen export`


def file_of(model: Path) -> Path:
    """`model` itself, or if it is a run folder, its newest checkpoint as a model file, with a VAE's encoder beside it.

    It is exported once, to the user's cache, under the checkpoint's hash. Raises UsageError for a run without a
    checkpoint; MissingExtra, with the command to run elsewhere, if exporting needs more than is installed.
    """
    if not (model / "config.toml").is_file():  # as almost always, and then quickly
        return model
    from jaxgen.files import cache_folder
    from jaxgen.runs.folder import RunFolder
    from jaxgen.runs.status import newest_checkpoint_hash

    place = cache_folder() / "exports" / newest_checkpoint_hash(RunFolder(model))[:16]
    file = place / f"{model.resolve().name}.onnx"
    if not file.is_file():
        _require_exporter(model)
        _export(model, place, file.name)
    return file


def _require_exporter(run: Path) -> None:
    missing = next((name for name in NEEDED if importlib.util.find_spec(name) is None), None)
    if missing:
        name = run.resolve().name
        raise MissingExtra(
            f"{run} is a run folder, which is exported first, and that needs {missing}, which is not installed; where "
            f"jaxgen's extra export is, run: jaxgen export {shlex.quote(str(run))} -o {shlex.quote(name)}.onnx"
        )


def _export(run: Path, place: Path, name: str) -> None:
    """Export to place/name, in a process of its own, whose memory is free again afterwards; `place` appears whole."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise JaxgenError(
            f"{place.parent}: cannot be made: {err.strerror}; XDG_CACHE_HOME names another cache"
        ) from err
    click.echo(f"exporting {run}, once for this checkpoint", err=True)
    aside = Path(tempfile.mkdtemp(dir=place.parent, prefix="."))
    try:
        command = [sys.executable, "-m", "jaxgen", "export", str(run), "-o", str(aside / name)]
        with current().paused():  # the other process has its own bar
            code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        if code:
            click.get_current_context().exit(code)  # the other process has said why
        shutil.rmtree(place, ignore_errors=True)
        os.replace(aside, place)  # noqa: PTH105
    finally:
        shutil.rmtree(aside, ignore_errors=True)
