"""Reading image files, folders and arrays from a command line, at one common size."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from jaxgen.data.decode import decode
from jaxgen.data.transforms import fit, flatten, to_channels
from jaxgen.errors import JaxgenError, UsageError, one_line

# The endings of images. Pillow reads all of them, if it was built with the libraries for AVIF and JPEG 2000.
ENDINGS = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff", ".avif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga", ".qoi"}
)
LARGEST = 256  # pixels per side by default


def read_images(paths: Iterable[Path], size: int | None = None, channels: int | None = None) -> np.ndarray:
    """Read image files, folders and .npy arrays (uint8 [N, H, W, C]), in this order: uint8 [N, size, size, channels].

    size: None for the smallest side among them, at most LARGEST; channels: None for 3 if any has colour, else 1.
    Raises UsageError without any image, JaxgenError on a file that is no image.
    """
    arrays = [flatten(_read(file)) for path in paths for file in named(path)]
    if not arrays:
        raise UsageError("no images: name files, folders or .npy arrays, or a --dataset")
    if size is None:
        size = min(LARGEST, *(min(array.shape[1:3]) for array in arrays))
    if channels is None:
        channels = 3 if any(array.shape[-1] > 2 for array in arrays) else 1
    return np.concatenate([fit(array, size, channels) for array in arrays])


def read_unchanged(path: Path) -> np.ndarray:
    """Read a file, a folder or a .npy array whose images are all of one size, as they are: uint8 [N, H, W, C].

    Grey ones among coloured ones become RGB. Raises UsageError if their sizes differ, JaxgenError as `read_images`.
    """
    files = named(path)
    arrays = [flatten(_read(file)) for file in files]
    channels = max(array.shape[-1] for array in arrays)
    for file, array in zip(files, arrays, strict=True):
        if array.shape[1:3] != arrays[0].shape[1:3]:
            one, other = ("x".join(map(str, each.shape[1:3])) for each in (arrays[0], array))
            raise UsageError(f"images of one size are expected: {files[0]} is {one}, {file} is {other}")
    return np.concatenate([to_channels(array, channels) for array in arrays])


def with_channels(images: np.ndarray, channels: int) -> np.ndarray | None:
    """Grey (1) or RGB (3) without a loss, [N, H, W, channels]; None where colours would be lost."""
    if images.shape[-1] > channels and (images != images[..., :1]).any():
        return None
    return images[..., :1] if images.shape[-1] > channels else to_channels(images, channels)


@functools.cache
def endings() -> frozenset[str]:
    """Those of ENDINGS that Pillow can read here."""
    return ENDINGS & {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def is_shown(path: PurePath) -> bool:
    """Whether a relative path is not one of the system's: .git, ._x.png, __MACOSX, Thumbs.db."""
    return path.name not in ("Thumbs.db", "desktop.ini") and not any(
        part.startswith((".", "__MACOSX")) for part in path.parts
    )


def below(folder: Path, pattern: str) -> list[Path]:
    """The images of a folder that match `pattern` ("*", or "**/*" with subfolders), relative to it, in a fixed order.

    System files are left out.
    """
    return [path for path in _files(folder, pattern) if path.suffix.lower() in endings()]


def others(folder: Path) -> dict[str, str]:
    """The files below a folder that are read as no images, by name, with the reason; without the system's."""
    paths = [path for path in _files(folder, "**/*") if path.suffix.lower() not in endings()]
    return {str(folder / path): not_read(path) for path in paths}


def not_read(path: PurePath) -> str:
    """Why a file is not read as an image."""
    ending = path.suffix.lower()
    known = ending in ENDINGS | {".heic", ".heif"}
    return f"Pillow cannot read {ending} here" if known else f"no image by its ending {ending!r}"


def _files(folder: Path, pattern: str) -> list[Path]:
    relative = (path.relative_to(folder) for path in folder.glob(pattern))
    return sorted(
        (path for path in relative if is_shown(path) and (folder / path).is_file()), key=lambda path: path.parts
    )


def named(path: Path) -> list[Path]:
    """The images directly in a folder, or the path of a single file. Raises UsageError for a folder without images."""
    if not path.is_dir():
        return [path]
    if names := below(path, "*"):
        return [path / name for name in names]
    if below(path, "**/*"):
        raise UsageError(f"{path}: its images lie in subfolders; to read these as classes: --dataset folder:{path}")
    raise UsageError(f"{path}: no images in this folder (looked for {', '.join(sorted(endings()))})")


def _read(path: Path) -> np.ndarray:
    """The images [N, H, W, C] of one file."""
    if path.suffix.lower() != ".npy":
        return decode(path, str(path))[None]
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise JaxgenError(f"{path}: cannot be read as an array: {one_line(err)}") from err
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] not in (1, 2, 3, 4) or 0 in array.shape:
        raise JaxgenError(f"{path}: expected uint8 [N, H, W, C], got {array.dtype} {list(array.shape)}")
    return array
