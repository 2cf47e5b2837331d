"""The model files that come with the package, by name: `cvae-mnist` is the file cvae-mnist.onnx in this folder."""

from __future__ import annotations

import os
from pathlib import Path

from jaxgen.errors import UsageError, lookup, nearest

FOLDER = Path(__file__).parent
EXTRACTORS = FOLDER / "extractors"  # classifiers, one a dataset, whose features `jaxgen eval` compares
SUFFIX, ENCODER = ".onnx", ".encoder.onnx"


def models() -> dict[str, Path]:
    """The models that generate images, by name; the encoder of one, if it has any, is beside it."""
    return {path.stem: path for path in sorted(FOLDER.glob(f"*{SUFFIX}")) if not path.name.endswith(ENCODER)}


def model(name: str) -> Path:
    """The file of a shipped model. Raises UsageError, with the nearest name, if there is none."""
    return lookup(models(), name, "shipped model")


def located(path: str | os.PathLike[str]) -> Path:
    """The file of a path, or of a shipped model's name: a name without ending, where no file has that name.

    Raises UsageError for such a name if no shipped model has it.
    """
    given = Path(path)
    is_name = given.name == str(path) and not given.suffix
    if not is_name or given.exists():
        return given
    if given.name not in models():
        raise UsageError(
            f"{given}: no such file, and no model of this name comes with jaxgen{nearest(given.name, models())}; "
            "'jaxgen models' lists them"
        )
    return models()[given.name]


def extractor(dataset: str) -> Path:
    """The extractor of a dataset. Raises UsageError if none comes with jaxgen."""
    path = EXTRACTORS / f"{dataset}{SUFFIX}"
    if Path(dataset).name != dataset or not path.exists():
        known = ", ".join(sorted(file.stem for file in EXTRACTORS.glob(f"*{SUFFIX}")))
        raise UsageError(
            f"no extractor of {dataset!a} comes with jaxgen (there is one of {known or 'nothing'}): give --extractor "
            "FILE.onnx, a classifier of it that 'jaxgen export' wrote"
        )
    return path
