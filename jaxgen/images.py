"""Images as arrays and as files: uint8 <-> [-1, 1], grids, GIFs, and PNGs that remember how they were made."""

from __future__ import annotations

import io
import math
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.files import read_bytes, write_atomically

if TYPE_CHECKING:  # Pillow is imported where it is used: a .npy needs none
    from PIL.Image import Image

Target = str | os.PathLike[str] | BinaryIO

MAX_PIXELS = 2**24  # of an image that is read: 4096 x 4096
MAX_IMAGE_BYTES = 2**26
CELL = 56  # pixels that the longer side of an image in a grid has at least
BACKGROUND = 128  # grey: neither the black of digits nor the white of paper

_opening = threading.Lock()  # warnings.catch_warnings changes the filters of the whole process


def to_unit(images: np.ndarray) -> np.ndarray:
    """uint8 pixels of any shape as float32 in [-1, 1], 0 -> -1 and 255 -> 1. Raises JaxgenError on another dtype."""
    _require_uint8(images)
    return images / np.float32(127.5) - np.float32(1)


def to_uint8(x: np.ndarray) -> np.ndarray:
    """[-1, 1] as uint8 pixels of the same shape: to the nearest, ties to even, clamped; the inverse of `to_unit`.

    Computed in float32, as exported models do. Raises JaxgenError on NaN, which no pixel can stand for.
    """
    x = np.asarray(x, dtype=np.float32)
    if np.isnan(x).any():
        raise JaxgenError("these images hold NaN; the weights are damaged or have diverged")
    return np.rint((np.clip(x, -1, 1) + np.float32(1)) * np.float32(127.5)).astype(np.uint8)


def grid(images: np.ndarray, columns: int | None = None, padding: int = 2, scale: int | None = None) -> np.ndarray:
    """uint8 [N, H, W, C] on one sheet, row by row: uint8 [H', W', C], on grey.

    columns: by default as many as make it nearly square; padding: pixels around each image; scale: how many pixels
    a side each pixel becomes, by default so many that the longer side of an image is at least CELL pixels.
    Raises UsageError on no images, columns or scale < 1, or padding < 0.
    """
    _require_uint8(images)
    if images.ndim != 4 or 0 in images.shape:
        raise UsageError(f"a grid takes images [N, H, W, C], got {list(images.shape)}")
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else columns
    scale = math.ceil(CELL / max(height, width)) if scale is None else scale
    if columns < 1 or scale < 1 or padding < 0:
        raise UsageError(f"a grid takes columns, scale >= 1 and padding >= 0, got {columns}, {scale}, {padding}")
    rows = math.ceil(count / columns)
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    down, right = height * scale + padding, width * scale + padding  # from one image to the next
    sheet = np.full((rows * down + padding, columns * right + padding, channels), BACKGROUND, np.uint8)
    for i, image in enumerate(images):
        top, left = padding + i // columns * down, padding + i % columns * right
        sheet[top : top + height * scale, left : left + width * scale] = image
    return sheet


def side_by_side(columns: int, *kinds: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] of several kinds, each above the next: rows [R, columns, H, W, C], grey where N ends."""
    count, shape = len(kinds[0]), kinds[0].shape[1:]
    lines = math.ceil(count / columns)
    sheet = np.full((len(kinds), lines * columns, *shape), BACKGROUND, np.uint8)
    sheet[:, :count] = kinds
    return sheet.reshape(len(kinds), lines, columns, *shape).swapaxes(0, 1).reshape(-1, columns, *shape)


def save_png(target: Target, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write uint8 [H, W, C], C 1 or 3, as a PNG with these text chunks, to a path (atomically) or a stream.

    Raises JaxgenError if the path cannot be written.
    """
    _save(target, png_bytes(image, text))


def save_jpeg(target: Target, image: np.ndarray) -> None:
    """Write uint8 [H, W, C], C 1 or 3, as a JPEG, which is small, not exact, and holds no provenance.

    Raises JaxgenError if the path cannot be written.
    """
    buffer = io.BytesIO()
    _to_pillow(image).save(buffer, format="JPEG", quality=92)
    _save(target, buffer.getvalue())


def captioned(image: np.ndarray, text: str) -> np.ndarray:
    """uint8 [H, W, C] with a line of text in a white strip above it, made wider if the text needs it."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    left, top, right, bottom = font.getbbox(text)
    height, width = int(bottom - top) + 8, max(image.shape[1], int(right - left) + 8)
    strip = Image.new("L", (width, height), 255)
    ImageDraw.Draw(strip).text((4 - left, 4 - top), text, fill=0, font=font)
    whole = np.full((height + image.shape[0], width, image.shape[2]), 255, np.uint8)
    whole[:height] = np.asarray(strip)[..., None]
    whole[height:, : image.shape[1]] = image
    return whole


def save_gif(target: Target, frames: np.ndarray, duration_ms: int = 60, hold_last_ms: int = 1500) -> None:
    """Write uint8 [T, H, W, C], C 1 or 3, as an endless GIF, to a path (atomically) or a stream.

    Grey frames keep their exact values; coloured ones get 256 colours each. Times are cut to multiples of 10 ms.
    Raises UsageError on times that a GIF cannot hold, JaxgenError if the path cannot be written.
    """
    if not 10 <= min(duration_ms, hold_last_ms) <= max(duration_ms, hold_last_ms) <= 655_350:
        raise UsageError(f"a GIF shows a frame for 10 to 655350 ms, got {duration_ms} and {hold_last_ms}")
    if frames.ndim != 4 or 0 in frames.shape:
        raise UsageError(f"a GIF takes frames [T, H, W, C], got {list(frames.shape)}")
    first, *rest = [_to_pillow(frame) for frame in frames]
    durations = [duration_ms] * len(rest) + [hold_last_ms]
    buffer = io.BytesIO()
    # optimize=False: otherwise Pillow compares frames by palette index after giving each a palette of its own, and
    # shows the wrong one of two frames that differ in their colours only.
    first.save(buffer, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False)
    _save(target, buffer.getvalue())


def png_bytes(image: np.ndarray, text: Mapping[str, str] | None = None) -> bytes:
    """uint8 [H, W, C], C 1 or 3, as a PNG file with these text chunks; equal input gives equal bytes."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    _to_pillow(image).save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def png_pixels(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A grey or RGB PNG file's pixels: uint8 [H, W, C]; `name` is what messages call it.

    Raises JaxgenError on anything else, and on more than max_pixels before they are decoded.
    """
    image = _open_png(data, name, max_pixels)
    with _damage_named(name):
        image.load()  # here, where it can only succeed or raise; NumPy would make something of some failures
        pixels = np.array(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def read_png(path: str | os.PathLike[str]) -> np.ndarray:
    """The pixels of a grey or RGB PNG: uint8 [H, W, C]. Raises JaxgenError on anything else."""
    return png_pixels(read_bytes(path, MAX_IMAGE_BYTES), str(path))


def png_text(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The text chunks of a grey or RGB PNG, by name; no pixel is decoded. Raises JaxgenError on anything else."""
    return png_bytes_text(read_bytes(path, MAX_IMAGE_BYTES), str(path))


def png_bytes_text(data: bytes, name: str) -> dict[str, Any]:
    """The text chunks of a PNG file's bytes, as `png_text` gives them; name: what messages call it."""
    info = _open_png(data, name, MAX_PIXELS).info
    return {str(name): value for name, value in info.items()}


def _open_png(data: bytes, name: str, max_pixels: int) -> Image:
    """A grey or RGB PNG of an allowed size with its header read; `load` decodes the pixels."""
    with _damage_named(name):
        image = open_header(data, ("PNG",))
    if image.width * image.height > max_pixels:
        raise JaxgenError(f"{name}: expected at most {max_pixels} pixels, got {image.width} x {image.height}")
    if image.mode not in ("L", "RGB"):
        raise JaxgenError(f"{name}: expected a grey or RGB PNG of 8 bits, got mode {image.mode}")
    return image


def open_header(image: Path | bytes, formats: tuple[str, ...] | None = None) -> Image:
    """An encoded image with its header read and no pixel decoded: the one place where Pillow opens anything.

    formats: those that may be tried; None: all. The caller limits the size: Pillow only warns up to twice its own
    limit, and that warning is left out here. Raises whatever Pillow's readers raise, a dozen kinds.
    """
    from PIL import Image

    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(image) if isinstance(image, bytes) else image, formats=formats)


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Give one name to whatever a decoder makes of a broken file: Pillow raises a dozen kinds of exception."""
    try:
        yield
    except Exception as err:
        raise JaxgenError(f"{name}: is not a PNG, is damaged or unpacks to too much") from err


def _to_pillow(image: np.ndarray) -> Image:
    from PIL import Image

    _require_uint8(image)
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise JaxgenError(f"expected an image [H, W, C] with C 1 or 3, got {list(image.shape)}")
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _require_uint8(images: np.ndarray) -> None:
    if images.dtype != np.uint8:
        raise JaxgenError(f"expected uint8 pixels, got {images.dtype}")


def _save(target: Target, content: bytes) -> None:
    if isinstance(target, str | os.PathLike):
        write_atomically(target, content)
    else:
        target.write(content)
