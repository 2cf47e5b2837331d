"""Palettes: the few colours of pixel art, and images whose every pixel is snapped to the nearest of them.

A palette is uint8 [K, 3], RGB, K from 1 to MAX_COLOURS, without order or repeats; as text, its colours are '#rrggbb'.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import read_bytes
from jaxgen.images import MAX_IMAGE_BYTES, MAX_PIXELS, open_header

MAX_COLOURS = 256
TOLERANCE = 6.0  # Euclidean distance to a colour, in levels of 255, up to which a pixel counts as lying on it
MAX_TEXT_BYTES = 2**20
PART = 2**16  # pixels that are compared at a time
COLOUR = re.compile(r"#?([0-9a-f]{6})", re.IGNORECASE)


def of_images(images: np.ndarray) -> np.ndarray | None:
    """The palette of uint8 images [N, H, W, C]; None if they have more than MAX_COLOURS colours, or every grey there
    is, or are neither grey nor RGB."""
    if images.shape[-1] not in (1, 3):
        return None
    most = MAX_COLOURS if images.shape[-1] == 3 else MAX_COLOURS - 1
    codes = np.empty(0, np.uint32)
    for part in _parts(images.reshape(-1, images.shape[-1])):
        codes = np.union1d(codes, part.astype(np.uint32) @ _weights(images.shape[-1]))
        if len(codes) > most:
            return None
    return (codes[:, None] >> np.array([16, 8, 0], np.uint32) & 255).astype(np.uint8)


def to_text(palette: np.ndarray) -> list[str]:
    """The colours as '#rrggbb'."""
    return [f"#{bytes(colour).hex()}" for colour in palette]


def of_text(colours: object, name: str) -> np.ndarray:
    """The palette of colours as text, 'rrggbb' or '#rrggbb'; name: what messages call it.

    Raises JaxgenError if they are no list of 1 to MAX_COLOURS colours.
    """
    if not isinstance(colours, list | tuple):
        raise JaxgenError(f"{name}: expected a list of colours such as #638596, got {ascii(colours)[:60]}")
    codes = set()
    for colour in colours:
        matched = COLOUR.fullmatch(colour) if isinstance(colour, str) else None
        if not matched:
            raise JaxgenError(f"{name}: expected a colour such as #638596, got {ascii(colour)[:60]}")
        codes.add(matched[1].lower())
    if not 1 <= len(codes) <= MAX_COLOURS:
        raise JaxgenError(f"{name}: expected a palette of 1 to {MAX_COLOURS} colours, got {len(codes)}")
    return np.array([list(bytes.fromhex(code)) for code in sorted(codes)], np.uint8)


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """The palette in a file: the colours of a PNG's opaque pixels, a JSON list of colours, or text with colours between
    spaces and line ends, ';' starting a comment.

    Raises JaxgenError if the file cannot be read, holds none of these, or too many colours.
    """
    name, data = str(path), read_bytes(path, MAX_IMAGE_BYTES)
    if Path(path).suffix.lower() == ".png":
        return _of_png(data, name)
    try:
        text = data[: MAX_TEXT_BYTES + 1].decode("utf-8-sig")
        if len(data) > MAX_TEXT_BYTES:
            raise ValueError(f"it is larger than {MAX_TEXT_BYTES} bytes")
        if text.lstrip()[:1] in ("[", "{"):
            return of_text(json.loads(text), name)
    except (ValueError, RecursionError) as err:
        raise JaxgenError(f"{name}: is no palette, which is a PNG, a JSON list or text of colours: {err}") from err
    return of_text(" ".join(line.partition(";")[0] for line in text.splitlines()).split(), name)


def snapped(images: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images [N, H, W, C] with each pixel replaced by the nearest colour, and the share of each image's pixels
    that lay on the palette before: [N], from 0 to 1.

    Raises UsageError for grey images and a palette of other colours.
    """
    colours = _of_channels(palette, images.shape[-1])
    nearest, on = [], []
    for part in _parts(images.reshape(-1, images.shape[-1])):
        pixels, centres = part.astype(np.float32), colours.astype(np.float32)
        # Exact: every number here is an integer below 2^24.
        squares = np.square(centres).sum(1) - 2 * pixels @ centres.T + np.square(pixels).sum(1)[:, None]
        chosen = squares.argmin(1)
        nearest.append(colours[chosen])
        on.append(squares[np.arange(len(part)), chosen] <= TOLERANCE**2)
    return np.concatenate(nearest).reshape(images.shape), np.concatenate(on).reshape(len(images), -1).mean(1)


def require_usable(palette: np.ndarray, channels: int) -> None:
    """Raise UsageError for images of one channel and a palette of colours that are no greys."""
    _of_channels(palette, channels)


def _of_channels(palette: np.ndarray, channels: int) -> np.ndarray:
    """The palette as pixels of images with 1 or 3 channels: [K, C]."""
    if channels == 3:
        return palette
    if (palette != palette[:, :1]).any():
        raise UsageError("the images are grey, and the palette has colours that are not")
    return palette[:, :1]


def _of_png(data: bytes, name: str) -> np.ndarray:
    try:
        image = open_header(data, ("PNG",))
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it has {image.width} x {image.height} pixels, at most {MAX_PIXELS} are read")
        pixels = np.array(image.convert("RGBA")).reshape(-1, 4)
    except Exception as err:  # Pillow raises a dozen kinds
        raise JaxgenError(f"{name}: is no PNG, is damaged or too large: {err}") from err
    opaque = pixels[pixels[:, 3] == 255][None, :, None, :3]
    palette = of_images(opaque) if opaque.size else np.empty((0, 3))
    if palette is None or not len(palette):
        raise JaxgenError(
            f"{name}: expected the opaque pixels of an image to have 1 to {MAX_COLOURS} colours, got "
            f"{'none' if palette is not None else 'more'}"
        )
    return palette


def _weights(channels: int) -> np.ndarray:
    """What a pixel is multiplied with to become the number 0xRRGGBB."""
    return np.array([0x10101] if channels == 1 else [0x10000, 0x100, 1], np.uint32)


def _parts(pixels: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(pixels), PART):
        yield pixels[start : start + PART]
