"""Safe decoding of image files (PNG, JPEG, ...) to uint8 arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from jaxgen.data import pixels
from jaxgen.errors import JaxgenError, one_line
from jaxgen.images import open_header

MAX_PIXELS = 64_000_000  # larger images are refused before decoding
PHOTOMETRIC, BITS, LARGEST_VALUE, SAMPLE_FORMAT = 262, 258, 281, 339  # tags of TIFF
WHITE_IS_ZERO, SIGNED = 0, 2
GREYS_OF_FEW_BITS = {"L;2": 85, "L;4": 17}  # Pillow's steps from one grey to the next


def decode(source: Path | bytes, name: str, *, white: float = 0) -> np.ndarray:
    """The first frame of an image, upright: uint8 [H, W, C], C of 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA).

    white: the value of white in images of more than 8 bits, 0: by the file.
    Raises JaxgenError, naming `name`, if it cannot be read, has more than MAX_PIXELS pixels, or has pixels of which
    nobody can tell how light they are.
    """
    with _opened(source, name) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise JaxgenError(f"{name}: {width} x {height} pixels are too many; the limit is {MAX_PIXELS:,}")
        _require_told(image, name)
        tiles = getattr(image, "tile", None)
        raw_mode = str(tiles[0][3]) if image.format == "PNG" and tiles else ""
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I") or image.mode == "F":
            return _of_many_bits(image, name, white)
        return _of_8_bits(image, name, raw_mode)


def mode_of(source: Path | bytes, name: str) -> str:
    """Pillow's mode of an image, such as 'RGB'; no pixel is decoded. Raises JaxgenError if it cannot be read."""
    with _opened(source, name) as image:
        return image.mode


@contextmanager
def _opened(source: Path | bytes, name: str) -> Iterator[Image.Image]:
    """The image, not decoded; what goes wrong while it is used is a JaxgenError of one line."""
    try:
        with open_header(source) as image:
            yield image
    except JaxgenError:
        raise
    except FileNotFoundError as err:
        raise JaxgenError(f"{name}: no such file") from err
    except Exception as err:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, ...
        raise JaxgenError(f"{name}: cannot be read as an image ({one_line(err)}); remove or replace it") from err


def _tag(image: Image.Image, number: int) -> int | None:
    """The first value of a TIFF's tag; None if it is no TIFF or has no such tag."""
    value: Any = getattr(image, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) and value else value


def _require_told(image: Image.Image, name: str) -> None:
    """Raise JaxgenError for pixels that Pillow reads as others than they are."""
    if image.mode == "L" and _tag(image, SAMPLE_FORMAT) == SIGNED:
        raise JaxgenError(f"{name}: its pixels are signed, and which one is black is not said; save it as unsigned")
    transparency = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(transparency, tuple) and max(transparency) > 255:
        raise JaxgenError(f"{name}: one colour of 16 bits is transparent; save it with an alpha channel")


def _of_8_bits(image: Image.Image, name: str, raw_mode: str) -> np.ndarray:
    """raw_mode: Pillow's name for how a PNG stores its pixels."""
    if image.mode in ("L", "1"):
        clear = image.info.get("transparency")
        grey = np.array(image if image.mode == "L" else image.convert("L"))
        if clear is None:
            return grey[..., None]
        clear *= GREYS_OF_FEW_BITS.get(raw_mode, 1)  # Pillow scales the pixels and not this one
        return _with_alpha(grey, grey != clear)
    if image.mode in ("LA", "La"):
        return np.array(image.convert("LA"))
    if image.mode in ("RGB", "RGBA") and "transparency" not in image.info:
        return np.array(image)
    return np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _of_many_bits(image: Image.Image, name: str, white: float) -> np.ndarray:
    """Grey of 16 or 32 bits or float, scaled: Pillow would clip it to 8 bits."""
    values = np.asarray(image)
    if image.mode == "I" and _tag(image, BITS) == 32 and _tag(image, SAMPLE_FORMAT) != SIGNED:
        values = values.view(np.uint32)
    if not white and image.mode.startswith("I;16"):
        said = 2 ** (_tag(image, BITS) or 16) - 1
        white = min(said, _tag(image, LARGEST_VALUE) or said)
        white = white if 255 < white < 65535 else 0
    if not white and image.mode == "I" and image.format == "PPM":
        white = 65535  # Pillow scales it to that
    grey = pixels.scaled(values, pixels.scale_of([values], name, white=white))
    if _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:
        grey = 255 - grey
    clear = image.info.get("transparency")
    return grey[..., None] if clear is None else _with_alpha(grey, values != clear)


def _with_alpha(grey: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    return np.stack([grey, np.where(opaque, 255, 0).astype(np.uint8)], -1)
