"""Image files, folders of them and arrays, as a person names them on a command line, made to one measure.

What is transparent becomes black behind a light drawing and white behind a dark one, so that either can be seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxgen.data.decode import decode
from jaxgen.data.transforms import compose, fit, to_channels
from jaxgen.errors import JaxgenError, UsageError, one_line

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
LARGEST = 256  # pixels a side where nobody says how many


def read_images(paths: Iterable[Path], size: int | None = None, channels: int | None = None) -> np.ndarray:
    """uint8 [N, size, size, channels] of image files, folders and .npy arrays (uint8 [N, H, W, C]), in this order.

    size: None for the smallest side among them, at most LARGEST; channels: None for 3 if any has colour, else 1.
    Raises UsageError if there is none, JaxgenError on a file that is no image.
    """
    found = [flatten(_read(file)) for path in paths for file in named(path)]
    if not found:
        raise UsageError("no images: name files, folders or .npy arrays, or a --dataset")
    if size is None:
        size = min(LARGEST, *(min(image.shape[1:3]) for image in found))
    if channels is None:
        channels = 3 if any(image.shape[-1] > 2 for image in found) else 1
    return np.concatenate([fit(image, size, channels) for image in found])


def below(folder: Path, pattern: str) -> list[Path]:
    """The images of a folder that `pattern` ("*" or, subfolders included, "**/*") leads to, in one order everywhere;
    relative to it, and without what systems leave behind: .git, ._x.png, __MACOSX."""
    relative = (path.relative_to(folder) for path in folder.glob(pattern) if path.suffix.lower() in ENDINGS)
    shown = (path for path in relative if not any(part.startswith((".", "__MACOSX")) for part in path.parts))
    return sorted((path for path in shown if (folder / path).is_file()), key=lambda path: path.parts)


def named(path: Path) -> list[Path]:
    """The images directly in a folder; anything else is one file. Raises UsageError for a folder without any."""
    if not path.is_dir():
        return [path]
    if found := below(path, "*"):
        return [path / name for name in found]
    if below(path, "**/*"):
        raise UsageError(f"{path}: its images lie in subfolders; to read these as classes: --dataset folder:{path}")
    raise UsageError(f"{path}: no images in this folder (looked for {', '.join(sorted(ENDINGS))})")


def flatten(images: np.ndarray) -> np.ndarray:
    """Without alpha, each on the one of black and white that its opaque part stands out from: uint8 [N, H, W, C]."""
    if images.shape[-1] not in (2, 4):
        return images
    grey, alpha = to_channels(images[..., :-1], 1)[..., 0], images[..., -1].astype(np.float64)
    light = (grey * alpha).sum((1, 2)) > 127.5 * alpha.sum((1, 2))
    laid = [compose(image, (0 if on_black else 255,)) for image, on_black in zip(images, light, strict=True)]
    return np.stack(laid)


def _read(path: Path) -> np.ndarray:
    """Images [N, H, W, C] of one file."""
    if path.suffix.lower() != ".npy":
        return decode(path, str(path))[None]
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise JaxgenError(f"{path}: cannot be read as an array: {one_line(err)}") from err
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] not in (1, 2, 3, 4) or 0 in array.shape:
        raise JaxgenError(f"{path}: expected uint8 [N, H, W, C], got {array.dtype} {list(array.shape)}")
    return array
