"""sheet:PATH?tile=24x24, one image of many tiles, such as a game's sprites, cut row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxgen.data.dataset import Dataset
from jaxgen.data.decode import decode
from jaxgen.data.forms import splits
from jaxgen.data.forms.form import Form, Opened, Options
from jaxgen.errors import JaxgenError, UsageError


def cut(sheet: np.ndarray, height: int, width: int) -> np.ndarray:
    """The tiles of a sheet, row by row: [height R, width K, C] -> [R K, height, width, C]."""
    rows, columns, channels = sheet.shape[0] // height, sheet.shape[1] // width, sheet.shape[2]
    parts = sheet.reshape(rows, height, columns, width, channels).swapaxes(1, 2)
    return parts.reshape(rows * columns, height, width, channels)


def opened(path: Path, options: Options) -> Opened:
    if not path.is_file():
        raise UsageError(f"sheet:{path}: there is no such file")
    if options.tile is None:
        raise UsageError(f"sheet:{path}: say how large a tile is, width and height in pixels: sheet:{path}?tile=24x24")
    height, width = options.tile
    sheet = decode(path, str(path), white=options.white)
    if sheet.shape[0] % height or sheet.shape[1] % width:
        size = f"{sheet.shape[1]}x{sheet.shape[0]}"
        raise UsageError(f"sheet:{path}: its {size} pixels are not whole tiles of {width}x{height}")
    tiles = cut(sheet, height, width)
    empty = ~tiles[..., -1].any((1, 2)) if tiles.shape[-1] in (2, 4) else np.zeros(len(tiles), bool)
    if empty.all():
        raise JaxgenError(f"{path}: every tile is wholly transparent")
    passed_over = {f"{path}, tile {number}": "it is wholly transparent" for number in np.flatnonzero(empty)}
    tiles = tiles[~empty]
    rows = splits.every_tenth(len(tiles))
    parts = {split: Dataset(tiles[chosen], np.full(len(chosen), -1, np.int32)) for split, chosen in rows.items()}
    return Opened(splits=parts, passed_over=passed_over)


FORM = Form(words="one image of many tiles", open=opened, options=frozenset({"tile", "white"}))
