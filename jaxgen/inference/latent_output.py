"""What the commands write: rows of images as a sheet, a GIF or an array, latents as an array, tables as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxgen.errors import UsageError
from jaxgen.files import check_writable, write_atomically
from jaxgen.images import captioned, grid, save_gif, save_png
from jaxgen.inference.provenance import provenance_text

MAX_SHEET = 4096  # images on one
MAX_COLUMNS = 128  # of a sheet: of 28x28 images, 7,426 pixels
FRAME_MS = 90


def checked(output: Path, *endings: str) -> Path:
    """`output`, if it ends in one of these and can be written; UsageError or JaxgenError otherwise."""
    if output.suffix.lower() not in endings:
        raise UsageError(f"-o takes {' or '.join(f'FILE{ending}' for ending in endings)}, got '{output}'")
    check_writable(output)
    return output


def require_room(output: Path, rows: int, columns: int) -> None:
    """Raise UsageError, before anything is drawn, for more images than a file holds."""
    if rows * columns > MAX_SHEET:
        raise UsageError(f"a file holds at most {MAX_SHEET} images, this would be {rows * columns}; ask for fewer")
    if output.suffix.lower() == ".png" and columns > MAX_COLUMNS:
        raise UsageError(
            f"rows of {columns} images are too wide for a PNG (at most {MAX_COLUMNS}); write to FILE.gif or FILE.npy"
        )


def write_rows(
    output: Path, rows: np.ndarray, provenance: Mapping[str, Any], titles: Sequence[str] | None = None
) -> None:
    """uint8 [R, K, H, W, C] as the ending says: R rows of K images, below the row's title if it has one (.png); K
    frames of R images each, there and back again (.gif); all of them one after the other (.npy)."""
    if output.suffix.lower() == ".npy":
        write_array(output, rows.reshape(-1, *rows.shape[2:]))
    elif output.suffix.lower() == ".gif":
        frames = np.stack([grid(frame) for frame in rows.swapaxes(0, 1)])
        there_and_back = np.concatenate([frames, frames[-2:0:-1]])  # it is shown again and again, and must not jump
        save_gif(output, there_and_back, duration_ms=FRAME_MS, hold_last_ms=FRAME_MS)
    else:
        save_png(output, _sheet(rows, titles), provenance_text(provenance))


def _sheet(rows: np.ndarray, titles: Sequence[str] | None) -> np.ndarray:
    if titles is None:
        return grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
    lines = [captioned(grid(row, columns=len(row)), title) for row, title in zip(rows, titles, strict=True)]
    width = max(line.shape[1] for line in lines)
    return np.concatenate(
        [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    )


def write_array(output: Path, array: np.ndarray) -> None:
    def write(stream: BinaryIO) -> None:
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)

    write_atomically(output, write)


def aligned(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as text: the first column to the left, the others to the right."""
    lines = [[*head], *([cell if isinstance(cell, str) else f"{cell:g}" for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )
