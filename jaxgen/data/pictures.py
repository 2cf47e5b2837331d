"""Picture files, folders of them and arrays, as a person names them on a command line, made to one measure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxgen.data.decode import decode
from jaxgen.data.resize import fit
from jaxgen.errors import JaxgenError, UsageError, one_line

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
LARGEST = 256  # pixels a side where nobody says how many


def read_pictures(paths: Iterable[Path], size: int | None = None, channels: int | None = None) -> np.ndarray:
    """uint8 [N, size, size, channels] of picture files, folders and .npy arrays (uint8 [N, H, W, C]), in this order.

    size: None for the smallest side among them, at most LARGEST; channels: None for 3 if any has colour, else 1.
    Raises UsageError if there is none, JaxgenError on a file that is no picture.
    """
    found = [picture for path in paths for picture in _read(path)]
    if not found:
        raise UsageError("no pictures: name picture files, folders or .npy arrays")
    if size is None:
        size = min(LARGEST, *(min(picture.shape[1:3]) for picture in found))
    if channels is None:
        channels = 3 if any(picture.shape[-1] > 2 for picture in found) else 1
    return np.concatenate([fit(picture, size, channels) for picture in found])


def _read(path: Path) -> list[np.ndarray]:
    """Pictures [N, H, W, C] of one name."""
    if path.is_dir():
        return [part for file in sorted(path.iterdir()) if file.suffix.lower() in ENDINGS for part in _read(file)]
    if path.suffix.lower() != ".npy":
        return [decode(path, str(path))[None]]
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise JaxgenError(f"{path}: cannot be read as an array: {one_line(err)}") from err
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] not in (1, 2, 3, 4) or 0 in array.shape:
        raise JaxgenError(f"{path}: expected uint8 [N, H, W, C], got {array.dtype} {list(array.shape)}")
    return [array]
