"""Safe decoding of image files (PNG, JPEG, ...) to uint8 arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from jaxgen.errors import JaxgenError, one_line
from jaxgen.images import open_header

MAX_PIXELS = 64_000_000  # larger images are refused before decoding


def decode(source: Path | bytes, name: str) -> np.ndarray:
    """The first frame of an image, upright: uint8 [H, W, C], C of 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises JaxgenError, naming `name`, if it cannot be read or has more than MAX_PIXELS pixels.
    """
    try:
        with open_header(source) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise JaxgenError(f"{name}: {width} x {height} pixels are too many; the limit is {MAX_PIXELS:,}")
            ImageOps.exif_transpose(image, in_place=True)
            return _to_array(image)
    except JaxgenError:
        raise
    except FileNotFoundError as err:
        raise JaxgenError(f"{name}: no such file") from err
    except Exception as err:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, ...
        raise JaxgenError(f"{name}: cannot be read as an image ({one_line(err)}); remove or replace it") from err


def _to_array(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, not scale them
        return (np.asarray(image) >> 8).astype(np.uint8)[..., None]
    if image.mode in ("L", "1"):
        return np.array(image if image.mode == "L" else image.convert("L"))[..., None]
    if image.mode in ("RGB", "RGBA") and "transparency" not in image.info:
        return np.array(image)
    return np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))
